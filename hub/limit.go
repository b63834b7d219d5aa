package hub

// limit is a bound on connections, as an error that says which one was met.
type limit string

const (
	limitServer  limit = "connections"
	limitPerson  limit = "connections of a person"
	limitAddress limit = "connections of an address"
)

func (l limit) Error() string { return "too many " + string(l) }

// refuse closes a connection that is one too many.
func (c *conn) refuse(l limit) {
	c.hub.metrics.limits.WithLabelValues(string(l)).Inc()
	c.hub.metrics.dropped.WithLabelValues("too many").Inc()
	c.shut(statusTooMany, l.Error())
}

// admit counts a connection towards its address, and reports false when there are too many already.
func (h *Hub) admit(c *conn) bool {
	if c.who.Address == "" {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.addresses[c.who.Address] >= h.maxPerAddress {
		return false
	}
	h.addresses[c.who.Address]++
	c.counted = true
	return true
}

// dismiss is the opposite of admit.
func (h *Hub) dismiss(c *conn) {
	if !c.counted {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.addresses[c.who.Address]--; h.addresses[c.who.Address] == 0 {
		delete(h.addresses, c.who.Address)
	}
}
