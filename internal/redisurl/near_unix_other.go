//go:build unix && !linux

package redisurl

func yield() {}
