// Program bucket does to an S3 bucket what tests need and servers must not: it makes buckets, and tampers.
//
//	bucket make NAME [-lock]       a versioned bucket, with Object Lock when asked
//	bucket list NAME               every version of every key, as JSON lines
//	bucket get NAME KEY            the newest version, to standard output
//	bucket put NAME KEY            standard input over whatever is there
//	bucket delete NAME KEY         a plain delete: on a versioned bucket, a marker in front
//
// Endpoint and credentials come from AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bucket:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("bucket make|list|get|put|delete NAME [KEY]")
	}
	s3, err := connect()
	if err != nil {
		return err
	}
	verb, bucket, rest := args[0], args[1], args[2:]
	switch {
	case verb == "make":
		return makeBucket(ctx, s3, bucket, slices.Contains(rest, "-lock"))
	case verb == "list":
		return list(ctx, s3, bucket)
	case verb == "get" && len(rest) == 1:
		object, err := s3.GetObject(ctx, bucket, rest[0], minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, object)
		return err
	case verb == "put" && len(rest) == 1:
		_, err := s3.PutObject(ctx, bucket, rest[0], os.Stdin, -1, minio.PutObjectOptions{})
		return err
	case verb == "delete" && len(rest) == 1:
		return s3.RemoveObject(ctx, bucket, rest[0], minio.RemoveObjectOptions{})
	}
	return fmt.Errorf("not understood: %v", args)
}

func connect() (*minio.Client, error) {
	endpoint, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		return nil, err
	}
	return minio.New(endpoint.Host, &minio.Options{Creds: credentials.NewEnvAWS(), Secure: endpoint.Scheme == "https"})
}

func makeBucket(ctx context.Context, s3 *minio.Client, bucket string, lock bool) error {
	if err := s3.MakeBucket(ctx, bucket, minio.MakeBucketOptions{ObjectLocking: lock}); err != nil {
		return err
	}
	return s3.EnableVersioning(ctx, bucket)
}

func list(ctx context.Context, s3 *minio.Client, bucket string) error {
	out := json.NewEncoder(os.Stdout)
	for object := range s3.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if object.Err != nil {
			return object.Err
		}
		err := out.Encode(map[string]any{
			"key": object.Key, "version": object.VersionID, "size": object.Size,
			"latest": object.IsLatest, "marker": object.IsDeleteMarker,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
