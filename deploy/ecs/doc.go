// Package ecs is a Terraform module; its README is the place to begin. To Go it holds nothing but tests: of the rules by
// which Redis lets the roles in, on a real Redis, and, when they are asked for, of the module itself:
//
//	make deploy-test
package ecs
