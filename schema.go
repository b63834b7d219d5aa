package tidings

import _ "embed"

// SchemaSQL is schema.sql, which lies beside this file because embedding cannot look up. store applies it.
//
//go:embed schema.sql
var SchemaSQL string
