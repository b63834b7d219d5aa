package tidings

// Permissions is Discord's permission bit set. In JSON it is a decimal string.
type Permissions uint64
