package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

// adminHandler is what an administrator's console would do to the tailnet.
func adminHandler(control *testcontrol.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /ssh-policy", func(w http.ResponseWriter, r *http.Request) {
		policy := new(tailcfg.SSHPolicy)
		if err := json.NewDecoder(r.Body).Decode(policy); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		control.SetSSHPolicy(policy)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(control.AllNodes()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /rename", func(w http.ResponseWriter, r *http.Request) {
		change(w, r, control, func(node *tailcfg.Node) {
			renameUser(control, node.Key, r.FormValue("login"), r.FormValue("name"))
		})
	})
	mux.HandleFunc("POST /expire", func(w http.ResponseWriter, r *http.Request) {
		if all := r.FormValue("all"); all != "" {
			control.SetExpireAllNodes(all == "true")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		change(w, r, control, func(node *tailcfg.Node) { node.KeyExpiry = time.Now().Add(-time.Minute) })
	})
	// Node ids and capabilities reach nodes at once; the tailnet's id comes with the first map of a stream.
	mux.HandleFunc("POST /flow-logs", func(w http.ResponseWriter, r *http.Request) {
		change(w, r, control, func(node *tailcfg.Node) {
			node.DataPlaneAuditLogID = r.FormValue("id")
			control.SetNodeCapMap(node.Key, tailcfg.NodeCapMap{
				tailcfg.CapabilityDataPlaneAuditLogs: nil,
			})
		})
	})
	return mux
}

// change edits the node that the request names and tells every node of it.
func change(w http.ResponseWriter, r *http.Request, control *testcontrol.Server, edit func(*tailcfg.Node)) {
	for _, node := range control.AllNodes() {
		if fmt.Sprint(int64(node.ID)) == r.FormValue("node") || string(node.StableID) == r.FormValue("node") {
			edit(node)
			control.UpdateNode(node)
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	http.Error(w, "no such node", http.StatusNotFound)
}

// renameUser gives the user of a node another login name.
//
// testcontrol names its users user-1, user-2, … and offers no way to change that, so this reaches into its
// private maps, under its own lock. The version is pinned; a rename of these fields panics on first use.
func renameUser(control *testcontrol.Server, node key.NodePublic, loginName, displayName string) {
	mu := private[sync.Mutex](control, "mu")
	mu.Lock()
	defer mu.Unlock()
	login := *(*private[map[key.NodePublic]*tailcfg.Login](control, "logins"))[node]
	login.LoginName, login.DisplayName = loginName, displayName
	(*private[map[key.NodePublic]*tailcfg.Login](control, "logins"))[node] = &login
}

func private[T any](control *testcontrol.Server, field string) *T {
	value := reflect.ValueOf(control).Elem().FieldByName(field)
	if !value.IsValid() || value.Type() != reflect.TypeFor[T]() {
		panic("testcontrol.Server has no field " + field + " of the expected type")
	}
	return (*T)(unsafe.Pointer(value.UnsafeAddr()))
}
