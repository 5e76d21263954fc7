package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// policy allows a page its own style, script and pictures, and nothing from any other origin.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data: blob:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// cookie is the name of the cookie that holds the token.
const cookie = "ablate_token"

// guard admits authorised readers, refuses requests from other sites' pages, and sets the security headers.
func (s *Server) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		switch {
		case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate":
			http.Error(w, "another site's page may not read this", http.StatusForbidden)
		case s.Token == "" && !local(r.Host):
			// A name that its owner has point to this machine would make another site's page ours (DNS rebinding).
			http.Error(w, "without a token this server answers as localhost or 127.0.0.1 alone", http.StatusForbidden)
		case s.Token != "" && !s.admits(w, r):
		default:
			crossOrigin.Handler(next).ServeHTTP(w, r)
		}
	})
}

// local reports whether a host is a name by which this machine calls itself.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// admits checks the token in the address, from which it removes it, in a cookie, or in a header.
func (s *Server) admits(w http.ResponseWriter, r *http.Request) bool {
	if given := r.URL.Query().Get("token"); given != "" && r.Method == http.MethodGet && s.same(given) {
		http.SetCookie(w, &http.Cookie{
			Name: cookie, Value: given, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
			MaxAge: 30 * 24 * 3600,
		})
		bare := *r.URL
		q := bare.Query()
		q.Del("token")
		bare.RawQuery = q.Encode()
		http.Redirect(w, r, "/"+strings.TrimLeft(bare.RequestURI(), "/\\"), http.StatusSeeOther)
		return false
	}
	if c, err := r.Cookie(cookie); err == nil && s.same(c.Value) {
		return true
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && s.same(given) {
		return true
	}
	http.Error(w, "this server asks for its token: open the address that ablate serve printed", http.StatusUnauthorized)
	return false
}

// same compares a token in constant time, so that the time reveals nothing of it.
func (s *Server) same(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.Token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
