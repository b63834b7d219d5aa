package store

import (
	"net/url"
	"testing"
)

// dumpURL is a URL as libpq's programs take it: they know no search_path among the parameters.
func dumpURL(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("search_path")
	u.RawQuery = q.Encode()
	return u.String()
}
