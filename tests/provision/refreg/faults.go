package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"
)

const (
	faultsBytesMax   = 1 << 20
	requestsKeptMax  = 100_000
	hangDurationMax  = 10 * time.Minute
	errorCodeUnknown = "UNKNOWN"
)

// A fault changes the answer to the requests that it matches.
type fault struct {
	// Method that must match; empty: any.
	Method string `json:"method"`
	// Path is a regular expression that must match somewhere in the request's path.
	Path string `json:"path"`
	// Kind is one of: status, half_body, hang.
	Kind string `json:"kind"`
	// Status is the code to answer with, for the kind status.
	Status int `json:"status"`
	// RetryAfterSeconds becomes the header Retry-After when above zero, for the kind status.
	RetryAfterSeconds int `json:"retry_after_seconds"`
	// Times is how often it shows; zero: always.
	Times int `json:"times"`

	pattern *regexp.Regexp
	left    int
}

// An answered request, as the control endpoint tells it.
type answered struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"`
	Fault  string `json:"fault,omitempty"`
	User   string `json:"user,omitempty"`
}

// faultDesk stands before the registry: it applies faults and keeps what was answered.
type faultDesk struct {
	inner http.Handler

	mutex    sync.Mutex
	faults   []*fault
	released chan struct{}
	requests []answered
}

func newFaultDesk(inner http.Handler) *faultDesk {
	return &faultDesk{inner: inner, released: make(chan struct{})}
}

func (d *faultDesk) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	counted := &countingWriter{ResponseWriter: response, status: http.StatusOK}
	chosen, released := d.choose(request)
	kind := ""
	if chosen != nil {
		kind = chosen.Kind
	}
	defer func() { d.keep(request, counted.status, kind) }()
	switch kind {
	case "status":
		if chosen.RetryAfterSeconds > 0 {
			counted.Header().Set("Retry-After", strconv.Itoa(chosen.RetryAfterSeconds))
		}
		if chosen.Status == http.StatusUnauthorized {
			counted.Header().Set("WWW-Authenticate", `Basic realm="refreg"`)
		}
		refuse(counted, chosen.Status)
	case "half_body":
		d.answerHalf(counted, request)
	case "hang":
		counted.status = 0
		select {
		case <-request.Context().Done():
		case <-released:
		case <-time.After(hangDurationMax):
		}
		panic(http.ErrAbortHandler)
	default:
		d.inner.ServeHTTP(counted, request)
	}
}

// choose takes the first fault that matches, and the channel that ends its hanging.
func (d *faultDesk) choose(request *http.Request) (*fault, chan struct{}) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, candidate := range d.faults {
		if candidate.Method != "" && candidate.Method != request.Method {
			continue
		}
		if !candidate.pattern.MatchString(request.URL.Path) {
			continue
		}
		if candidate.Times > 0 {
			if candidate.left == 0 {
				continue
			}
			candidate.left--
		}
		return candidate, d.released
	}
	return nil, d.released
}

// answerHalf promises the whole body, sends half of it and cuts the connection.
func (d *faultDesk) answerHalf(response http.ResponseWriter, request *http.Request) {
	whole := &heldResponse{header: response.Header(), status: http.StatusOK}
	d.inner.ServeHTTP(whole, request)
	body := whole.body.Bytes()
	response.Header().Set("Content-Length", strconv.Itoa(len(body)))
	response.WriteHeader(whole.status)
	_, _ = response.Write(body[:len(body)/2])
	if flusher, ok := response.(http.Flusher); ok {
		flusher.Flush()
	}
	panic(http.ErrAbortHandler)
}

func (d *faultDesk) keep(request *http.Request, status int, kind string) {
	user, _, _ := request.BasicAuth()
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if len(d.requests) < requestsKeptMax {
		d.requests = append(d.requests, answered{request.Method, request.URL.RequestURI(), status, kind, user})
	}
}

// control is the test's own endpoint: PUT /faults replaces all faults, GET and DELETE /requests read and forget the requests.
func (d *faultDesk) control() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("PUT /faults", d.replaceFaults)
	routes.HandleFunc("GET /requests", func(response http.ResponseWriter, _ *http.Request) {
		d.mutex.Lock()
		kept := append([]answered{}, d.requests...)
		d.mutex.Unlock()
		response.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(response).Encode(kept)
	})
	routes.HandleFunc("DELETE /requests", func(response http.ResponseWriter, _ *http.Request) {
		d.mutex.Lock()
		d.requests = nil
		d.mutex.Unlock()
		response.WriteHeader(http.StatusNoContent)
	})
	return routes
}

func (d *faultDesk) replaceFaults(response http.ResponseWriter, request *http.Request) {
	var faults []*fault
	decoder := json.NewDecoder(http.MaxBytesReader(response, request.Body, faultsBytesMax))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&faults); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	for _, one := range faults {
		if err := one.check(); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
	}
	d.mutex.Lock()
	d.faults = faults
	close(d.released)
	d.released = make(chan struct{})
	d.mutex.Unlock()
	response.WriteHeader(http.StatusNoContent)
}

func (f *fault) check() error {
	switch f.Kind {
	case "half_body", "hang":
	case "status":
		if f.Status < 400 || f.Status > 599 {
			return fmt.Errorf("status %d is not an error", f.Status)
		}
	default:
		return fmt.Errorf("unknown kind %q", f.Kind)
	}
	pattern, err := regexp.Compile(f.Path)
	if err != nil {
		return fmt.Errorf("read path pattern: %w", err)
	}
	f.pattern, f.left = pattern, f.Times
	return nil
}

// refuse answers in the shape that the distribution specification gives to errors.
func refuse(response http.ResponseWriter, status int) {
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	_, _ = fmt.Fprintf(response, `{"errors":[{"code":%q,"message":%q}]}`, errorCodeUnknown, http.StatusText(status))
}

type countingWriter struct {
	http.ResponseWriter
	status int
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Flush() {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

type heldResponse struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (r *heldResponse) Header() http.Header               { return r.header }
func (r *heldResponse) WriteHeader(status int)            { r.status = status }
func (r *heldResponse) Write(content []byte) (int, error) { return r.body.Write(content) }
