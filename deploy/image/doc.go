// Package image holds the container images to what they promise: it builds them from the Dockerfile and runs them. It holds
// nothing but tests, and they only run when they are asked for, since they need root and take minutes:
//
//	make image-test
//
// Neither a Docker engine nor a registry of images is needed. buildah builds, on a stand-in for the image with the Go
// toolchain that is made of the toolchain of this machine and busybox; umoci unpacks, and runc runs the containers as ECS
// does: with a read-only root file system, without capabilities, as process 1 of their own namespaces. They share the
// network of this machine, where a real Redis is.
package image
