// Package workspace gives each call a directory of its own: the files that came
// with it beside links to the function's source, a home, a temp and a file that
// describes the request. It runs nothing and parses nothing.
//
// Making and removing directories costs as much as running a small command, so a
// slot keeps one Room for all its calls. Clean makes it as new: it removes what a
// call left, and trusts nothing that a call could have changed (a directory's
// identity, mode, attributes and flags, every link's target); what is not as it
// was made is made again. Start at Room.
//
// Names of uploads: the base name after the last "/" or "\" is kept, with spaces
// and Unicode; control characters, text that is not UTF-8, more than 255 bytes,
// "", "." and ".." are refused, and so is a name that the source or another upload
// has.
package workspace
