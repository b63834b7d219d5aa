package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A process that is started again has its name, and a second one beside it another.
func TestAProcessKeepsItsNameAndACopyOfItsFolderDoesNot(t *testing.T) {
	t.Parallel()
	take := func(dir string) *instance {
		t.Helper()
		i, err := takeInstance(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(i.release)
		return i
	}
	dir, copied := t.TempDir(), t.TempDir()
	first := take(dir)
	if beside := take(dir); beside.name == first.name {
		t.Error("two processes in one folder have one name")
	}
	text, err := os.ReadFile(filepath.Join(dir, "instance-0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, "instance-0"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	other := take(copied)
	if other.name == first.name {
		t.Error("a process in a copy of the folder has the name of the one in the folder")
	}
	first.release()
	again := take(dir)
	if again.name != first.name || again.run <= first.run {
		t.Errorf("started again it is %s in run %d, want %s in a later run than %d", again.name, again.run, first.name, first.run)
	}
	// An earlier version wrote the name alone.
	old := t.TempDir()
	if err := os.WriteFile(filepath.Join(old, "instance-0"), []byte(first.name+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if kept := take(old); kept.name != first.name {
		t.Errorf("a name of an earlier version has become %s", kept.name)
	}
}
