//go:build !linux

package render

import "time"

var began = time.Now()

// spent stands in for the processor time of the calling thread, which is not to be had here.
func spent() time.Duration { return time.Since(began) }
