// Package web holds seri.js, the module with which pages watch tasks, and its types. Every Seri server serves both at
// /seri.js and /seri.d.ts; a Go program may serve [Script] itself. The folder is an npm package, too.
package web

import (
	_ "embed"
	"strings"
)

//go:embed seri.js
var source string

// Types is the module's declarations for TypeScript.
//
//go:embed seri.d.ts
var Types string

// Script is the module, without comments of their own lines and without indentation.
var Script = strip(source)

func strip(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line = strings.TrimLeft(line, " ")
		if strings.HasPrefix(line, "//") || strings.HasPrefix(line, "/**") && strings.HasSuffix(line, "*/\n") || line == "\n" {
			continue
		}
		b.WriteString(line)
	}
	return "// seri.js of Seri, MIT. Comments and types: github.com/seri-queue/seri/web\n" + b.String()
}
