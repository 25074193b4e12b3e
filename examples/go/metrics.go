package main

import (
	"context"
	"log"
	"net/http"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
	lfsfranz "github.com/lfsproxy/lfsproxy/sdk/go/franz"
	lfsotel "github.com/lfsproxy/lfsproxy/sdk/go/otel"
	lfsprometheus "github.com/lfsproxy/lfsproxy/sdk/go/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel"
)

func main() {
	log.Fatal(consume(context.Background()))
}

func consume(ctx context.Context) error {
	forPrometheus, err := lfsprometheus.OnResolve(prometheus.DefaultRegisterer)
	if err != nil {
		return err
	}
	forOpenTelemetry, err := lfsotel.OnResolve(otel.Meter("example"))
	if err != nil {
		return err
	}
	client, err := lfs.FromEnvironment(ctx, func(c *lfs.Config) {
		c.OnResolve = func(ctx context.Context, resolution lfs.Resolution) { // one of the two is enough
			forPrometheus(ctx, resolution)
			forOpenTelemetry(ctx, resolution)
		}
	})
	if err != nil {
		return err
	}
	http.Handle("/metrics", promhttp.Handler())
	go func() { log.Fatal(http.ListenAndServe("127.0.0.1:2112", nil)) }()

	consumer, err := kgo.NewClient(kgo.SeedBrokers("localhost:19092"), kgo.ConsumeTopics("demo-topic"))
	if err != nil {
		return err
	}
	defer consumer.Close()
	for {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, err := range lfsfranz.ResolveAll(ctx, client, fetches.Records(), lfs.Prefetch{}) {
			if err != nil {
				log.Println(err)
			}
		}
	}
}
