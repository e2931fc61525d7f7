// Program tlogverify checks a Meshtrail trail with none of Meshtrail's code: it reads the C2SP tlog-tiles API of
// a running server with Tessera's client and the transparency-dev Merkle library.
//
//   - the checkpoint is signed by the key given, and names the origin expected;
//   - every entry bundle is fetched, and all of its leaf hashes make the root that was signed;
//   - every tile of every level is what those leaves make;
//   - inclusion and consistency proofs made from the tiles hold, and so do the JSON proofs of /api/v1/proof;
//   - with -folder, the stored checkpoint is signed and a prefix of the served tree, and each stored tile is the
//     served one.
//
// It prints what it checked as one line of JSON and exits 0, or says what does not hold and exits 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// checked counts what held.
type checked struct {
	Origin      string `json:"origin"`
	Size        uint64 `json:"size"`
	Root        string `json:"root"`
	Inclusion   int    `json:"inclusion"`
	Consistency int    `json:"consistency"`
	JSONProofs  int    `json:"json_proofs"`
	StoredTiles int    `json:"stored_tiles"`
	StoredSize  uint64 `json:"stored_size"`
}

type request struct {
	server  *url.URL
	token   string
	vkey    note.Verifier
	origin  string
	folder  string
	leaf    string
	samples int
}

func main() {
	request, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlogverify:", err)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	result, err := check(ctx, request)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlogverify:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

func parse() (request, error) {
	server := flag.String("server", "", "address of the server, e.g. http://127.0.0.1:7411")
	token := flag.String("token", "", "bearer token")
	vkey := flag.String("vkey", "", "the trail's public key as a C2SP vkey, or @FILE that holds it")
	origin := flag.String("origin", "", "origin line expected; the vkey's name when not given")
	folder := flag.String("folder", "", "folder DIR/trails/NAME of the store, to be compared with what is served")
	leaf := flag.String("leaf", "", "INDEX:FILE, a leaf that must be in the tree at that index")
	samples := flag.Int("samples", 64, "how many inclusion and consistency proofs to check")
	flag.Parse()
	if *server == "" || *vkey == "" {
		return request{}, errors.New("-server and -vkey are needed")
	}
	address, err := url.Parse(strings.TrimSuffix(*server, "/"))
	if err != nil {
		return request{}, err
	}
	key := *vkey
	if name, ok := strings.CutPrefix(key, "@"); ok {
		text, err := os.ReadFile(name)
		if err != nil {
			return request{}, err
		}
		key = strings.TrimSpace(string(text))
	}
	verifier, err := fnote.NewVerifier(key)
	if err != nil {
		return request{}, fmt.Errorf("vkey: %w", err)
	}
	if *origin == "" {
		*origin = verifier.Name()
	}
	return request{address, *token, verifier, *origin, *folder, *leaf, *samples}, nil
}

func check(ctx context.Context, request request) (checked, error) {
	fetcher, err := client.NewHTTPFetcher(request.server.JoinPath("api/v1/trail/"), nil)
	if err != nil {
		return checked{}, err
	}
	fetcher.SetAuthorizationHeader("Bearer " + request.token)
	checkpoint, raw, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, request.vkey, request.origin)
	if err != nil {
		return checked{}, fmt.Errorf("checkpoint: %w", err)
	}
	// The tree may grow meanwhile: everything below is checked against this one checkpoint.
	pinned := pinnedFetcher{fetcher, raw}
	whole := fsck.New(request.origin, request.vkey, pinned, leafHashes, fsck.Opts{N: 2})
	if err := whole.Check(ctx); err != nil {
		return checked{}, fmt.Errorf("whole tree: %w", err)
	}
	result := checked{Origin: checkpoint.Origin, Size: checkpoint.Size, Root: fmt.Sprintf("%x", checkpoint.Hash)}
	if err := checkProofs(ctx, request, fetcher, checkpoint, &result); err != nil {
		return checked{}, err
	}
	if request.folder != "" {
		if err := checkFolder(ctx, request, fetcher, checkpoint, &result); err != nil {
			return checked{}, fmt.Errorf("folder: %w", err)
		}
	}
	return result, nil
}

// pinnedFetcher serves a checkpoint that was already fetched.
type pinnedFetcher struct {
	*client.HTTPFetcher
	checkpoint []byte
}

func (f pinnedFetcher) ReadCheckpoint(context.Context) ([]byte, error) { return f.checkpoint, nil }

func leafHashes(bundle []byte) ([][]byte, error) {
	var entries api.EntryBundle
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(entries.Entries))
	for _, entry := range entries.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}
