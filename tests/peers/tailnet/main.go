// Program tailnet is a whole control plane for tests, on loopback: Tailscale's own in-memory control
// server, one DERP relay, one STUN server, and a small admin API to change what an administrator changes.
//
// It prints one line of JSON when it is ready, and serves until it is ended:
//
//	{"control":"http://127.0.0.1:1"}
//
// The admin API is on a unix socket, which reaches across network namespaces:
//
//	PUT  /ssh-policy            body: the SSH policy as nodes receive it
//	GET  /nodes                 JSON array of nodes
//	POST /rename?node=ID&login=alice@example.com&name=Alice
//	POST /expire?node=ID        that node's key has expired a minute ago
//	POST /expire?all=true|false every node's key
//	POST /flow-logs?node=ID&id=HEX
//	                            that node keeps flow logs under the private log id HEX; needs -domain-log-id
//
// Keys and nodes live in memory: a restart is a new tailnet.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

func main() {
	address := flag.String("address", "127.0.0.1", "the address everything listens on")
	admin := flag.String("admin", "admin.sock", "unix socket of the admin API")
	domain := flag.String("domain", "tail.example", "MagicDNS domain of the tailnet")
	domainLogID := flag.String("domain-log-id", "", "private log id of the tailnet, for flow logs")
	flag.Parse()
	if err := run(*address, *admin, *domain, *domainLogID); err != nil {
		log.Fatal(err)
	}
}

func run(address, admin, domain, domainLogID string) error {
	derpMap, err := serveRelay(address)
	if err != nil {
		return err
	}
	controlListener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return err
	}
	adminListener, err := net.Listen("unix", admin)
	if err != nil {
		return err
	}
	control := &testcontrol.Server{
		Logf:            logger.Discard,
		DERPMap:         derpMap,
		MagicDNSDomain:  domain,
		ExplicitBaseURL: "http://" + controlListener.Addr().String(),
		AllOnline:       true,
		// A map that is not nil makes the server take the tags that a node asks for.
		TagOwners: map[string][]string{"tag:server": nil, "tag:recorder": nil},
	}
	if domainLogID != "" {
		control.ModifyFirstMapResponse = func(response *tailcfg.MapResponse, _ *tailcfg.MapRequest) {
			response.DomainDataPlaneAuditLogID = domainLogID
		}
	}
	go func() { log.Fatal(http.Serve(controlListener, control)) }()
	go func() { log.Fatal(http.Serve(adminListener, adminHandler(control))) }()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"control": control.ExplicitBaseURL}); err != nil {
		return err
	}
	select {}
}

// serveRelay starts DERP and STUN and returns the one-region map that names them.
func serveRelay(address string) (*tailcfg.DERPMap, error) {
	relay := derpserver.New(key.NewNode(), logger.Discard)
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(derpserver.AddWebSocketSupport(relay, derpserver.Handler(relay)))
	server.Listener.Close()
	server.Listener = listener
	server.Config.ErrorLog = log.New(discard{}, "", 0)
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	server.StartTLS()

	packets, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(address)})
	if err != nil {
		return nil, err
	}
	go answerSTUN(packets)

	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: {
		RegionID:   1,
		RegionCode: "test",
		Nodes: []*tailcfg.DERPNode{{
			Name:             "1a",
			RegionID:         1,
			HostName:         address,
			IPv4:             address,
			IPv6:             "none",
			DERPPort:         listener.Addr().(*net.TCPAddr).Port,
			STUNPort:         packets.LocalAddr().(*net.UDPAddr).Port,
			STUNTestIP:       address,
			InsecureForTests: true,
		}},
	}}}, nil
}

func answerSTUN(packets *net.UDPConn) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := packets.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		id, err := stun.ParseBindingRequest(buffer[:n])
		if err != nil {
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if _, err := packets.WriteToUDPAddrPort(stun.Response(id, from), from); err != nil {
			fmt.Fprintln(os.Stderr, "stun:", err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
