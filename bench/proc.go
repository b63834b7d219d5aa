package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticks is the kernel's USER_HZ, by which /proc counts.
const ticks = 100

// procStat is what /proc says of a process: its parent, and the seconds of processor time of itself and of the children that it
// has waited for.
func procStat(pid int) (parent int, own, waited float64) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, 0
	}
	// The name, in brackets, may hold anything.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	n := func(i int) float64 {
		x, _ := strconv.ParseFloat(f[i], 64)
		return x / ticks
	}
	parent, _ = strconv.Atoi(f[1])
	return parent, n(11) + n(12), n(13) + n(14)
}

// postmaster is the process that has started the one which serves a connection.
func postmaster(ctx context.Context, db *sql.DB) (int, error) {
	var pid int
	if err := db.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		return 0, err
	}
	parent, _, _ := procStat(pid)
	return parent, nil
}

// family is the processor time of a process and all of its children, those that have ended too.
func family(pid int) float64 {
	_, own, waited := procStat(pid)
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		child, _ := strconv.Atoi(filepath.Base(p))
		if parent, o, w := procStat(child); parent == pid {
			own += o + w
		}
	}
	return own + waited
}
