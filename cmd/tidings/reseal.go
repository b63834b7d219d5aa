package main

import (
	"context"
	"fmt"
	"log/slog"

	"tidings/store"
	"tidings/web"
)

// resealCmd is "tidings reseal".
type resealCmd struct{}

func (resealCmd) Run(ctx context.Context, c *Config, log *slog.Logger, out *output) error {
	if len(c.OldKeys) == 0 {
		return usageError{[]string{"OLD_ENCRYPTION_KEYS is not set: put the key there that ENCRYPTION_KEY had until now, and a new one into ENCRYPTION_KEY."}}
	}
	return withStore(ctx, c, log, func(st *store.Store) error {
		key, err := c.encryptionKey()
		if err != nil {
			return err
		}
		reseal, err := web.Reseal(key, c.oldKeys()...)
		if err != nil {
			return err
		}
		replaced, refused, err := st.ReplaceSealed(ctx, reseal)
		if err != nil {
			return err
		}
		if err := st.Note(ctx, 0, "reseal", map[string]int{"tokens": replaced, "unreadable": refused}); err != nil {
			return err
		}
		fmt.Fprintf(out.Out, "%d tokens and secrets are encrypted under the new key now\n", replaced)
		if refused > 0 {
			return fmt.Errorf("%d tokens or secrets open with none of the keys: those people have to sign in and make their webhooks again, or name the key that is missing in OLD_ENCRYPTION_KEYS", refused)
		}
		return nil
	})
}
