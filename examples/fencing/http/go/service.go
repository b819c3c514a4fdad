// A report that only the leader of an election may write: service JWKS_FILE HOST:PORT.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "leasehold"
	election = "jobs/report"
	// Clocks differ. It isn't the time that keeps stale writers out.
	leeway = 10 * time.Second
)

type claims struct {
	jwt.RegisteredClaims
	Election string `json:"election"`
	Fence    uint64 `json:"fence"`
}

type service struct {
	keys    map[string]ed25519.PublicKey
	parser  *jwt.Parser
	mutex   sync.Mutex
	highest uint64
	content []byte
}

func readKeys(path string) (map[string]ed25519.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []struct{ Kid, Crv, X string }
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	keys := map[string]ed25519.PublicKey{}
	for _, key := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(key.X)
		if err != nil || key.Crv != "Ed25519" || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%s: key %q isn't one of Ed25519", path, key.Kid)
		}
		keys[key.Kid] = x
	}
	return keys, nil
}

// fenceOf gives the fencing token that a task token vouches for.
func (s *service) fenceOf(token string) (uint64, error) {
	found := claims{}
	_, err := s.parser.ParseWithClaims(token, &found, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if key, ok := s.keys[kid]; ok {
			return key, nil
		}
		return nil, fmt.Errorf("there is no key %q", kid)
	})
	if err == nil && (found.Election != election || found.Fence == 0) {
		err = fmt.Errorf("it is for %q with the fencing token %d", found.Election, found.Fence)
	}
	return found.Fence, err
}

func (s *service) get(response http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	response.Write(s.content)
}

func (s *service) put(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	fence, err := s.fenceOf(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		http.Error(response, fmt.Sprintf("not a leader's task token: %v", err), http.StatusUnauthorized)
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if fence < s.highest {
		why := fmt.Sprintf("stale fencing token %d: %d has written", fence, s.highest)
		http.Error(response, why, http.StatusConflict)
		return
	}
	s.highest, s.content = fence, body
	fmt.Fprintln(response, "written")
}

func main() {
	keys, err := readKeys(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	s := &service{keys: keys, parser: jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}),
		jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway))}
	http.HandleFunc("GET /report", s.get)
	http.HandleFunc("PUT /report", s.put)
	listener, err := net.Listen("tcp", os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
