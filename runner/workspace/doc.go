// Package workspace gives each call its own directories: the working directory, with the uploaded files and links to
// the function's source, a home, a temp directory, and a file that describes the request. It runs nothing and parses
// nothing.
//
// A slot keeps one Workspace for all its calls, because making and removing directories costs as much as running a
// small command. Clean restores it: it removes what a call left, and checks everything that a call could have changed
// (a directory's identity, mode, attributes and flags, every link's target). If one of them has changed, it makes the
// workspace again. Start at Workspace.
//
// An upload's name in the workspace is the part of its file name after the last "/" or "\", with spaces and Unicode.
// Control characters, text that is not UTF-8, more than 255 bytes, "", "." and ".." are refused, and so is the name of
// an entry of the source or of another upload.
package workspace
