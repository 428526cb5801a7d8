// Package form reads what the registration form POST /register holds, as the original Davit took it: command lines,
// lists of arguments in JSON or Python, names of methods, and the trigger's name from its URL.
package form
