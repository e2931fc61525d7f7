// Program tessera-bench measures durable appends to Tessera's POSIX driver, to stand beside our own benchmark.
//
//	tessera-bench -dir DIR -senders 64 -seconds 60
//	tessera-bench -dir DIR -senders 4096 -seconds 60
//
// Each sender adds one entry, waits until Tessera says that it is durable, and adds the next: 4,096 senders are
// 4,096 adds in flight. With no -batch, a few batch sizes and ages are tried for two seconds each and the best
// is measured. It prints one line of JSON.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

type tuning struct {
	Batch uint          `json:"batch"`
	Age   time.Duration `json:"age_ns"`
}

type result struct {
	Senders   int     `json:"senders"`
	Size      int     `json:"entry_bytes"`
	Seconds   float64 `json:"seconds"`
	Entries   uint64  `json:"entries"`
	PerSecond float64 `json:"entries_per_second"`
	tuning
}

func main() {
	dir := flag.String("dir", "", "folder for the logs; a subfolder is made per run and removed")
	senders := flag.Int("senders", 64, "adds in flight")
	size := flag.Int("size", 400, "bytes per entry")
	seconds := flag.Int("seconds", 60, "how long to measure")
	batch := flag.Uint("batch", 0, "batch size; 0 tries some")
	age := flag.Duration("age", time.Millisecond, "batch age, with -batch")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if err := run(*dir, *senders, *size, *seconds, tuning{*batch, *age}); err != nil {
		fmt.Fprintln(os.Stderr, "tessera-bench:", err)
		os.Exit(1)
	}
}

func run(dir string, senders, size, seconds int, fixed tuning) error {
	best := fixed
	if fixed.Batch == 0 {
		var most float64
		for _, candidate := range candidates(senders) {
			got, err := measure(dir, senders, size, 2*time.Second, candidate)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "batch %5d age %6s: %8.0f/s\n", candidate.Batch, candidate.Age, got.PerSecond)
			if got.PerSecond > most {
				most, best = got.PerSecond, candidate
			}
		}
	}
	got, err := measure(dir, senders, size, time.Duration(seconds)*time.Second, best)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

func candidates(senders int) []tuning {
	var all []tuning
	for _, batch := range []int{senders / 4, senders / 2, senders} {
		for _, age := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
			all = append(all, tuning{uint(batch), age})
		}
	}
	return all
}

func measure(dir string, senders, size int, duration time.Duration, tuning tuning) (result, error) {
	folder, err := os.MkdirTemp(dir, "tessera-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(folder)
	appender, shutdown, err := open(filepath.Join(folder, "log"), senders, tuning)
	if err != nil {
		return result{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	var durable atomic.Uint64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	started := time.Now()
	for sender := range senders {
		group.Go(func() {
			random := mathrand.New(mathrand.NewPCG(uint64(sender), 1))
			for time.Since(started) < duration && failed.Load() == nil {
				if _, err := appender.Add(ctx, tessera.NewEntry(entry(random, size)))(); err != nil {
					failed.Store(&err)
					return
				}
				durable.Add(1)
			}
		})
	}
	group.Wait()
	elapsed := time.Since(started).Seconds()
	if err := failed.Load(); err != nil {
		return result{}, *err
	}
	if err := shutdown(ctx); err != nil {
		return result{}, err
	}
	entries := durable.Load()
	return result{senders, size, elapsed, entries, float64(entries) / elapsed, tuning}, nil
}

// entry is unlike any other: the driver must not save work on equal ones.
func entry(random *mathrand.Rand, size int) []byte {
	bytes := make([]byte, 0, size+8)
	for len(bytes) < size {
		bytes = binary.LittleEndian.AppendUint64(bytes, random.Uint64())
	}
	return bytes[:size]
}

func open(
	path string, senders int, tuning tuning,
) (*tessera.Appender, func(context.Context) error, error) {
	secret, _, err := note.GenerateKey(rand.Reader, "tessera-bench.example")
	if err != nil {
		return nil, nil, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	driver, err := posix.New(ctx, posix.Config{Path: path})
	if err != nil {
		return nil, nil, err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(time.Second).
		WithBatching(tuning.Batch, tuning.Age).
		WithPushback(uint(4*senders + 4096))
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, options)
	return appender, shutdown, err
}
