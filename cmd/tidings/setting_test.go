package main

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Whoever has several settings wrong learns of all of them at once, whatever is wrong with each.
func TestAllFaultsOfTheConfigurationAreSaidAtOnce(t *testing.T) {
	for name, value := range map[string]string{
		"LOG_LEVEL": "foo", "LISTEN": "nonsense", "RETENTION_DAYS": "abc", "HISTORY_DAYS": "-1", "GATEWAY": "maybe", "ROLES": "foo", "LIVE_WINDOW": "soon",
		"ALLOW_DISCORD_CDN": "perhaps", "DATABASE_URL": "postgres://tidings:hunter2@host:port/x", "DATABASE_DIRECT_URL": "password=hunter2 again",
	} {
		t.Setenv(name, value)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--min-free-disk=much"}, &out, &errs); code != exitUsage {
		t.Errorf("tidings serve ended with %d, want %d", code, exitUsage)
	}
	for _, want := range []string{
		"LOG_LEVEL is \"foo\"", "LISTEN \"nonsense\"", "RETENTION_DAYS is \"abc\": it must be a whole number", "HISTORY_DAYS is -1",
		"GATEWAY is \"maybe\": it must be one of on, off", "ROLES names \"foo\"", "LIVE_WINDOW is \"soon\"", "ALLOW_DISCORD_CDN is \"perhaps\"",
		"MIN_FREE_DISK is \"much\"", "DISCORD_TOKEN is not set", "DATABASE_URL cannot be read", "DATABASE_DIRECT_URL cannot be read",
	} {
		if strings.Count(errs.String(), want) != 1 {
			t.Errorf("it does not say once %q:\n%s", want, errs.String())
		}
	}
	if strings.Contains(errs.String(), "hunter2") {
		t.Errorf("it says a password:\n%s", errs.String())
	}
	errs.Reset()
	if code := run(t.Context(), []string{"migrate"}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "GATEWAY is") || !strings.Contains(errs.String(), "LOG_LEVEL is") {
		t.Errorf("tidings migrate ended with %d: %s", code, errs.String())
	}
}

// A setting that is there and empty, as a line of .env that nobody has filled in, is the default; lists may be written with spaces.
func TestEmptySettingsAreTheDefaults(t *testing.T) {
	var c, unset cli
	var unread []string
	read := func(c *cli) {
		parser, err := kong.New(c, kong.Vars{"version": version})
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range parser.Model.Flags {
			if len(flag.Tag.Envs) > 0 {
				flag.Mapper = setting{flag.Mapper, &unread}
				if flag.Tag.Envs[0] != "ADMINS" && c != &unset {
					t.Setenv(flag.Tag.Envs[0], "")
				}
			}
		}
		if _, err := parser.Parse([]string{"serve"}); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ADMINS", " 80351110224678912, 80351110224678913 80351110224678914,")
	read(&unset)
	read(&c)
	if len(unread) > 0 || !reflect.DeepEqual(c.Config, unset.Config) {
		t.Errorf("with everything empty the settings are %+v, want the defaults %+v (%v)", c.Config, unset.Config, unread)
	}
	if want := []string{"80351110224678912", "80351110224678913", "80351110224678914"}; !slices.Equal(c.Admins, want) {
		t.Errorf("ADMINS = %q, want %q", c.Admins, want)
	}
}
