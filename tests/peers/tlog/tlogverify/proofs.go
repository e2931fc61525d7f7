package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
)

var hasher = rfc6962.DefaultHasher

// checkProofs proves a spread of leaves and of earlier sizes, from tiles and from the server's own JSON.
func checkProofs(
	ctx context.Context, request request, fetcher *client.HTTPFetcher, checkpoint *log.Checkpoint, result *checked,
) error {
	if checkpoint.Size == 0 {
		return nil
	}
	builder, err := client.NewProofBuilder(ctx, checkpoint.Size, fetcher.ReadTile)
	if err != nil {
		return err
	}
	for _, index := range spread(checkpoint.Size, request.samples) {
		hashes, err := client.FetchLeafHashes(ctx, fetcher.ReadTile, index, 1, checkpoint.Size)
		if err != nil {
			return fmt.Errorf("leaf hash %d: %w", index, err)
		}
		path, err := builder.InclusionProof(ctx, index)
		if err != nil {
			return fmt.Errorf("inclusion %d from tiles: %w", index, err)
		}
		if err := proof.VerifyInclusion(hasher, index, checkpoint.Size, hashes[0], path, checkpoint.Hash); err != nil {
			return fmt.Errorf("inclusion %d from tiles: %w", index, err)
		}
		result.Inclusion++
		if err := checkJSONInclusion(ctx, request, index, hashes[0], checkpoint); err != nil {
			return fmt.Errorf("inclusion %d from /api/v1/proof: %w", index, err)
		}
		result.JSONProofs++
		if err := checkConsistency(ctx, request, fetcher, builder, index+1, checkpoint); err != nil {
			return fmt.Errorf("consistency %d to %d: %w", index+1, checkpoint.Size, err)
		}
		result.Consistency++
		result.JSONProofs++
	}
	if request.leaf != "" {
		return checkLeaf(ctx, request.leaf, builder, checkpoint)
	}
	return nil
}

// spread is up to n indexes below size: the ends, the edges of tiles, and evenly between.
func spread(size uint64, n int) []uint64 {
	seen := map[uint64]bool{}
	var indexes []uint64
	add := func(index uint64) {
		if index < size && !seen[index] {
			seen[index] = true
			indexes = append(indexes, index)
		}
	}
	for _, index := range []uint64{0, size - 1, 255, 256, 257, 65535, 65536} {
		add(index)
	}
	for i := range n {
		add(size * uint64(i) / uint64(n))
	}
	return indexes
}

func checkConsistency(
	ctx context.Context, request request, fetcher *client.HTTPFetcher, builder *client.ProofBuilder,
	smaller uint64, checkpoint *log.Checkpoint,
) error {
	older, err := rootAt(ctx, fetcher, smaller)
	if err != nil {
		return err
	}
	path, err := builder.ConsistencyProof(ctx, smaller, checkpoint.Size)
	if err != nil {
		return err
	}
	if err := proof.VerifyConsistency(hasher, smaller, checkpoint.Size, path, older, checkpoint.Hash); err != nil {
		return fmt.Errorf("from tiles: %w", err)
	}
	served, err := fetchProof(ctx, request, fmt.Sprintf("from=%d&to=%d", smaller, checkpoint.Size))
	if err != nil {
		return err
	}
	if !bytes.Equal(served.FromRoot, older) || !bytes.Equal(served.ToRoot, checkpoint.Hash) {
		return fmt.Errorf("/api/v1/proof names roots %x and %x", served.FromRoot, served.ToRoot)
	}
	return proof.VerifyConsistency(hasher, smaller, checkpoint.Size, served.Hashes.bytes(), older, checkpoint.Hash)
}

// rootAt is the root of the first size leaves, from tiles alone.
func rootAt(ctx context.Context, fetcher *client.HTTPFetcher, size uint64) ([]byte, error) {
	nodes, err := client.FetchRangeNodes(ctx, size, fetcher.ReadTile)
	if err != nil {
		return nil, err
	}
	root := nodes[len(nodes)-1]
	for i := len(nodes) - 2; i >= 0; i-- {
		root = hasher.HashChildren(nodes[i], root)
	}
	return root, nil
}

func checkJSONInclusion(
	ctx context.Context, request request, index uint64, leaf []byte, checkpoint *log.Checkpoint,
) error {
	served, err := fetchProof(ctx, request, fmt.Sprintf("index=%d&size=%d", index, checkpoint.Size))
	if err != nil {
		return err
	}
	if !bytes.Equal(served.LeafHash, leaf) {
		return fmt.Errorf("leaf hash is %x, the tile says %x", served.LeafHash, leaf)
	}
	return proof.VerifyInclusion(hasher, index, checkpoint.Size, leaf, served.Hashes.bytes(), checkpoint.Hash)
}

func checkLeaf(
	ctx context.Context, leaf string, builder *client.ProofBuilder, checkpoint *log.Checkpoint,
) error {
	at, file, _ := strings.Cut(leaf, ":")
	index, err := strconv.ParseUint(at, 10, 64)
	if err != nil {
		return err
	}
	bytes, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	path, err := builder.InclusionProof(ctx, index)
	if err != nil {
		return err
	}
	if err := proof.VerifyInclusion(hasher, index, checkpoint.Size, hasher.HashLeaf(bytes), path, checkpoint.Hash); err != nil {
		return fmt.Errorf("the leaf in %s is not the one at %d: %w", file, index, err)
	}
	return nil
}

// servedProof is what /api/v1/proof answers; members that are not needed here are left out.
type servedProof struct {
	LeafHash hexBytes   `json:"leaf_hash"`
	FromRoot hexBytes   `json:"from_root"`
	ToRoot   hexBytes   `json:"to_root"`
	Hashes   hexStrings `json:"hashes"`
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	decoded, err := hex.DecodeString(string(text))
	*h = decoded
	return err
}

type hexStrings []hexBytes

func (h hexStrings) bytes() [][]byte {
	all := make([][]byte, 0, len(h))
	for _, one := range h {
		all = append(all, one)
	}
	return all
}

func fetchProof(ctx context.Context, request request, query string) (*servedProof, error) {
	address := request.server.JoinPath("api/v1/proof")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	address.RawQuery = values.Encode()
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	get.Header.Set("Authorization", "Bearer "+request.token)
	answer, err := http.DefaultClient.Do(get)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", query, answer.Status, body)
	}
	served := new(servedProof)
	return served, json.Unmarshal(body, served)
}
