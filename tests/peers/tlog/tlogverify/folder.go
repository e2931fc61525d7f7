package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/tessera/client"
)

// checkFolder compares what lies in the store with what the server makes of it.
func checkFolder(
	ctx context.Context, request request, fetcher *client.HTTPFetcher, served *log.Checkpoint, result *checked,
) error {
	raw, err := os.ReadFile(filepath.Join(request.folder, "checkpoint"))
	if err != nil {
		return err
	}
	stored, _, _, err := log.ParseCheckpoint(raw, request.origin, request.vkey)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if stored.Size > served.Size {
		return fmt.Errorf("the stored checkpoint has size %d, the served one %d", stored.Size, served.Size)
	}
	if err := checkPrefix(ctx, fetcher, stored, served); err != nil {
		return fmt.Errorf("checkpoint of size %d: %w", stored.Size, err)
	}
	result.StoredSize = stored.Size

	tiles := filepath.Join(request.folder, "tile")
	return filepath.WalkDir(tiles, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(tiles, path)
		if err != nil {
			return err
		}
		if err := checkTile(ctx, fetcher, name, path); err != nil {
			return fmt.Errorf("tile/%s: %w", name, err)
		}
		result.StoredTiles++
		return nil
	})
}

func checkPrefix(ctx context.Context, fetcher *client.HTTPFetcher, stored, served *log.Checkpoint) error {
	if stored.Size == 0 {
		return nil
	}
	builder, err := client.NewProofBuilder(ctx, served.Size, fetcher.ReadTile)
	if err != nil {
		return err
	}
	path, err := builder.ConsistencyProof(ctx, stored.Size, served.Size)
	if err != nil {
		return err
	}
	return proof.VerifyConsistency(hasher, stored.Size, served.Size, path, stored.Hash, served.Hash)
}

// checkTile holds one stored tile, `L/xNNN/NNN` or `L/NNN.p/W`, against the served one.
func checkTile(ctx context.Context, fetcher *client.HTTPFetcher, name, path string) error {
	level, rest, _ := strings.Cut(name, "/")
	number, width, _ := strings.Cut(rest, ".p/")
	l, err := strconv.ParseUint(level, 10, 6)
	if err != nil {
		return err
	}
	var index uint64
	for _, part := range strings.Split(number, "/") {
		n, err := strconv.ParseUint(strings.TrimPrefix(part, "x"), 10, 10)
		if err != nil || n > 999 {
			return fmt.Errorf("not a tile's name: %q", part)
		}
		index = index*1000 + n
	}
	var partial uint64
	if width != "" {
		if partial, err = strconv.ParseUint(width, 10, 8); err != nil {
			return err
		}
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	served, err := fetcher.ReadTile(ctx, l, index, uint8(partial))
	if err != nil {
		return err
	}
	if len(served) < len(stored) || !bytes.Equal(served[:len(stored)], stored) {
		return fmt.Errorf("differs from what the leaves make")
	}
	return nil
}
