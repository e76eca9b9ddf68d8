// Package role assembles Seri's processes from their parts: the api, the worker, the beat, and all three in one for
// development. Each role is a struct whose fields are its settings, as flags and as environment variables of the same
// names; [Main] turns it into a program.
package role
