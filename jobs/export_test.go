package jobs

// What tests outside of the package look at.
var (
	PublicAddress    = publicAddress
	OutgoingClientTo = outgoingClient
	ErrPrivate       = errPrivate
	MayWant          = mayWant
)
