package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Exchange is one REST call with its answer, as [Options].OnExchange gets it.
type Exchange struct {
	Request *http.Request
	// Route is the path as a template, such as /channels/{channel_id}; "/" when there is no such call.
	Route        string
	RequestBody  []byte
	Status       int
	Header       http.Header
	ResponseBody []byte
	// Faulty says that a fault was injected: the answer is not Discord's.
	Faulty bool
}

// call is one REST request while it is handled, with the world's lock held.
type call struct {
	*Sim
	r     *http.Request
	route string
	host  string
	user  *User
	grant *grant
	body  []byte
	files []upload

	method string
	rule   rule
	bucket *bucket
}

type upload struct {
	field, name, contentType string
	data                     []byte
}

// empty is the answer of calls that have none: 204. created is a 201 with a body; accepted a 202.
type empty struct{}

type created struct{ v any }

type accepted struct{ v any }

// handler does one call. It runs under the lock.
type handler func(*call) (any, error)

// auth says who may make a call.
type auth int

const (
	needUser auth = iota // the bot or a person with the own token
	needAny              // also with an OAuth2 grant; the handler checks its scope
	needNone
)

// route is one line of the table in routes.go.
type route struct {
	pattern string
	auth    auth
	do      handler
}

// maxBody is what Discord takes in one request.
const maxBody = 25 << 20

func (s *Sim) rest(rt route) http.Handler {
	method, path, _ := strings.Cut(rt.pattern, " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Sim: s, r: r, route: path, host: r.Host}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			var tooBig *http.MaxBytesError
			if errors.As(err, &tooBig) {
				s.answer(w, c, body, 0, nil, fail(http.StatusRequestEntityTooLarge, 40005, "Request entity too large"))
			}
			return
		}
		delay, err := s.admit(c, rt, method)
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-r.Context().Done():
				return
			}
		}
		status, out, err := s.handle(c, rt, body, err)
		s.answer(w, c, body, status, out, err)
	})
}

// admit says who calls, and whether limits and faults let the call through, or how long they hold it up.
func (s *Sim) admit(c *call, rt route, method string) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := c.authenticate(rt.auth)
	delay, refusal := s.before(c, method)
	if err == nil || isFault(refusal) {
		err = refusal
	}
	return delay, err
}

// handle does the call, unless err already stands in its way.
func (s *Sim) handle(c *call, rt route, body []byte, err error) (int, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v any
	if err == nil {
		if err = c.parse(body); err == nil {
			v, err = rt.do(c)
		}
	}
	status, out := encode(v, err)
	return status, out, err
}

// isFault says whether a refusal is of somebody standing in front of Discord, who does not look at tokens.
func isFault(err error) bool {
	var ae *apiError
	return errors.As(err, &ae) && ae.Header[faultHeader] != ""
}

// encode makes the status and body of an answer. It is called under the lock, so that no state escapes it.
func encode(v any, err error) (int, []byte) {
	if err != nil {
		return 0, nil
	}
	status := http.StatusOK
	switch x := v.(type) {
	case empty:
		return http.StatusNoContent, nil
	case created:
		status, v = http.StatusCreated, x.v
	case accepted:
		status, v = http.StatusAccepted, x.v
	}
	b, merr := json.Marshal(v)
	if merr != nil {
		return http.StatusInternalServerError, []byte(`{"message":"500: Internal Server Error","code":0}`)
	}
	return status, b
}

// answer writes a call's outcome, notes it, and tells the hook.
func (s *Sim) answer(w http.ResponseWriter, c *call, reqBody []byte, status int, out []byte, err error) {
	h := w.Header()
	faulty := false
	if err != nil {
		var ae *apiError
		if !errors.As(err, &ae) {
			ae = fail(http.StatusInternalServerError, 0, err.Error())
		}
		status = ae.Status
		for k, v := range ae.Header {
			h.Set(k, v)
		}
		faulty = h.Get(faultHeader) != ""
		h.Del(faultHeader)
		if raw, ok := ae.Body.(plain); ok {
			out = []byte(raw)
			h.Set("Content-Type", "text/plain; charset=UTF-8")
		} else if out, err = json.Marshal(ae); err != nil {
			out = []byte("{}")
		}
	}
	s.mu.Lock()
	cut := s.after(c, h, status)
	s.mu.Unlock()
	if len(out) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if cut && len(out) > 2 {
		faulty = true
		h.Set("Content-Length", strconv.Itoa(len(out)))
		out = out[:len(out)/2]
	}
	w.WriteHeader(status)
	w.Write(out)
	if f := s.o.OnExchange; f != nil {
		f(Exchange{Request: c.r, Route: c.route, RequestBody: reqBody, Status: status, Header: h.Clone(), ResponseBody: out, Faulty: faulty})
	}
	if cut {
		// Without the flush nothing would have been sent, and the client would just ask again.
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// plain is an answer that is not JSON.
type plain string

// authenticate finds who calls: `Bot TOKEN`, a person's bare or prefixed token, or `Bearer ACCESS-TOKEN`.
func (c *call) authenticate(need auth) error {
	h := c.r.Header.Get("Authorization")
	scheme, token, ok := strings.Cut(h, " ")
	if !ok {
		scheme, token = "", h
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		if g := c.grants.byAccess[token]; g != nil && g.Expires.After(c.now()) {
			c.grant, c.user = g, c.users[g.UserID]
		}
		if c.grant == nil && c.byToken[token] == nil && need != needNone {
			return fail(http.StatusUnauthorized, 50025, "Invalid OAuth2 access token")
		}
	case strings.EqualFold(scheme, "Bot"), scheme == "":
		if u := c.byToken[token]; u != nil && (!u.Bot || scheme != "") {
			c.user = u
		}
	}
	if need == needNone {
		return nil
	}
	if c.user == nil || c.grant != nil && need != needAny {
		return errUnauthorized()
	}
	if g := c.guilds[c.pathID("guild_id")]; g != nil && g.Unavailable && c.limited() {
		return errServer()
	}
	return nil
}

// parse reads the body: JSON, or a form with payload_json and files.
func (c *call) parse(body []byte) error {
	ct, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch ct {
	case "multipart/form-data":
		mr := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		fields := map[string]json.RawMessage{}
		for {
			p, err := mr.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				return errJSON()
			}
			data, err := io.ReadAll(p)
			if err != nil {
				return errJSON()
			}
			switch {
			case p.FormName() == "payload_json":
				c.body = data
			case p.FileName() != "":
				c.files = append(c.files, upload{p.FormName(), p.FileName(), p.Header.Get("Content-Type"), data})
			default:
				if fields[p.FormName()], err = json.Marshal(string(data)); err != nil {
					return errJSON()
				}
			}
		}
		if c.body == nil {
			c.body, _ = json.Marshal(fields)
		}
	case "application/x-www-form-urlencoded":
		q, err := url.ParseQuery(string(body))
		if err != nil {
			return errJSON()
		}
		fields := map[string]string{}
		for k := range q {
			fields[k] = q.Get(k)
		}
		c.body, _ = json.Marshal(fields)
	default:
		c.body = body
	}
	return nil
}

// decode reads the JSON body into v.
func (c *call) decode(v any) error {
	if len(c.body) == 0 {
		return nil
	}
	err := json.Unmarshal(c.body, v)
	var te *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &te) && te.Field != "":
		return badField(te.Field, "BASE_TYPE_BAD_TYPE", "Value has the wrong type.")
	case errors.As(err, new(*json.SyntaxError)):
		return errJSON()
	}
	return badField("_", "BASE_TYPE_BAD_VALUE", err.Error())
}

// pathID is a path parameter as an id; 0 when it is none.
func (c *call) pathID(name string) ID {
	v := c.r.PathValue(name)
	if v == "@me" && c.user != nil {
		return c.user.ID
	}
	id, _ := parseID(v)
	return id
}

// queryID is a query parameter as an id; ok is false when it is absent.
func (c *call) queryID(name string) (id ID, ok bool, err error) {
	v := c.r.URL.Query().Get(name)
	if v == "" {
		return 0, false, nil
	}
	id, good := parseID(v)
	if !good {
		return 0, true, badField(name, "NUMBER_TYPE_COERCE", "Value \""+v+"\" is not snowflake.")
	}
	return id, true, nil
}

// queryInt is a number of the query between low and high, d when absent.
func (c *call) queryInt(name string, d, low, high int) (int, error) {
	v := c.r.URL.Query().Get(name)
	if v == "" {
		return d, nil
	}
	n, err := strconv.Atoi(v)
	switch {
	case err != nil:
		return 0, badField(name, "NUMBER_TYPE_COERCE", "Value \""+v+"\" is not int.")
	case n < low:
		return 0, badField(name, "NUMBER_TYPE_MIN", "int value should be greater than or equal to "+strconv.Itoa(low)+".")
	case n > high:
		return 0, badField(name, "NUMBER_TYPE_MAX", "int value should be less than or equal to "+strconv.Itoa(high)+".")
	}
	return n, nil
}

// inGuild gives the path's guild, which the caller must be a member of.
func (c *call) inGuild() (*Guild, error) {
	id, ok := parseID(c.r.PathValue("guild_id"))
	if !ok {
		return nil, badField("guild_id", "NUMBER_TYPE_COERCE", "Value is not snowflake.")
	}
	g := c.guilds[id]
	if g == nil || g.Members[c.user.ID] == nil {
		return nil, errUnknownGuild()
	}
	return g, nil
}

// inChannel gives the path's channel, which the caller must see, and what the caller may there.
func (c *call) inChannel() (*Channel, Perm, error) {
	id, ok := parseID(c.r.PathValue("channel_id"))
	if !ok {
		return nil, 0, badField("channel_id", "NUMBER_TYPE_COERCE", "Value is not snowflake.")
	}
	ch := c.channels[id]
	if ch == nil {
		return nil, 0, errUnknownChannel()
	}
	p := c.permissions(c.user.ID, ch)
	if p&ViewChannel == 0 {
		return nil, 0, errAccess()
	}
	if g := c.guilds[ch.GuildID]; g.Unavailable && c.limited() {
		return nil, 0, errServer()
	}
	return ch, p, nil
}

// inText is inChannel for channels that hold messages; in voice channels CONNECT is needed too.
func (c *call) inText() (*Channel, Perm, error) {
	ch, p, err := c.inChannel()
	if err != nil {
		return nil, 0, err
	}
	if !ch.textual() {
		return nil, 0, errChannelType()
	}
	if !c.readsText(c.user.ID, ch) {
		return nil, 0, errAccess()
	}
	return ch, p, nil
}

// need asks for guild-wide permissions.
func (c *call) need(g *Guild, p Perm) error {
	if g.base(c.user.ID)&p != p {
		return errPermissions()
	}
	return nil
}

// site is the origin under which the caller reached the simulator.
func (c *call) site() string {
	if c.o.BaseURL != "" {
		return strings.TrimSuffix(c.o.BaseURL, "/")
	}
	return "http://" + c.host
}
