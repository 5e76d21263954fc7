//go:build long

package main

func init() { runStored = true }
