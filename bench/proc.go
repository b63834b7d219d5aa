package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strconv"
)

// ticks is the kernel's USER_HZ, by which /proc counts.
const ticks = 100

// seconds is the processor time of a process itself, and of the children that it has waited for.
func seconds(pid int) (parent int, own, waited float64) {
	parent, t, err := procStat(pid)
	if err != nil {
		return 0, 0, 0
	}
	return parent, float64(t[0]+t[1]) / ticks, float64(t[2]+t[3]) / ticks
}

// postmaster is the process that has started the one which serves a connection.
func postmaster(ctx context.Context, db *sql.DB) (int, error) {
	var pid int
	if err := db.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		return 0, err
	}
	parent, _, _ := seconds(pid)
	return parent, nil
}

// family is the processor time of a process and all of its children, those that have ended too.
func family(pid int) float64 {
	_, own, waited := seconds(pid)
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		child, _ := strconv.Atoi(filepath.Base(p))
		if parent, o, w := seconds(child); parent == pid {
			own += o + w
		}
	}
	return own + waited
}
