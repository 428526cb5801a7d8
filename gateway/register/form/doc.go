// Package form registers functions and triggers from the form that a browser posts to POST /register, in the format of
// the original Davit: command lines, lists of arguments in JSON or Python, methods, and a URL that names the trigger.
//
// The package depends on neither HTTP nor the registry. Start at Register.
package form
