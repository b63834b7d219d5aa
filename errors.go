package tidings

import (
	"errors"
	"fmt"
)

// Sentinels that rooms branch on with errors.Is. web turns them into HTTP statuses in one place.
var (
	// ErrNotFound: there is no such thing, or the person may not know of it. The two look alike on purpose.
	ErrNotFound = errors.New("not found")
	// ErrForbidden: Discord would not allow it, or the token lacks the scope.
	ErrForbidden = errors.New("forbidden")
	// ErrInvalid: the input cannot be understood. The wrapping text says which field and what to do.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: a newer act of the same person stands; the caller's rev is too old.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable: a part that is needed is away; trying again later will help.
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrUnauthorized: Discord refuses the credentials (401). Trying again will not help.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrLeaseLost: another process has taken over the shard or the job.
	ErrLeaseLost = errors.New("lease lost")
)

// FieldError is an [ErrInvalid] that names the field of the question that is wrong.
type FieldError struct {
	Field   string // as people name it, such as cursor
	Message string // what is expected
}

func (e *FieldError) Error() string { return "invalid " + e.Field + ": " + e.Message }

// Unwrap makes it an [ErrInvalid].
func (e *FieldError) Unwrap() error { return ErrInvalid }

// InvalidField is a [FieldError].
func InvalidField(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}
