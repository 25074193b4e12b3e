package lfsotel

import (
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

func TestOnResolve(t *testing.T) {
	reader := metric.NewManualReader()
	hook, err := OnResolve(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lfs.New(t.Context(), lfs.Config{Bucket: "kafscale", OnResolve: hook}); err != nil {
		t.Fatal(err)
	}
	at := &lfs.Coordinates{Topic: "demo"}
	for range 2 {
		hook(t.Context(), lfs.Resolution{Result: lfs.ResultOK, Size: 1000, Duration: 20 * time.Millisecond, Record: at})
	}
	hook(t.Context(), lfs.Resolution{Result: "blob-missing", Duration: 200 * time.Second})
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, each := range data.ScopeMetrics[0].Metrics {
		switch data := each.Data.(type) {
		case metricdata.Sum[int64]:
			if !data.IsMonotonic {
				t.Errorf("%s is no counter", each.Name)
			}
			for _, point := range data.DataPoints {
				got[fmt.Sprint(each.Name, " ", each.Unit, " ", point.Attributes.Encoded(attribute.DefaultEncoder()))] = point.Value
			}
		case metricdata.Histogram[float64]:
			point := data.DataPoints[0]
			got[fmt.Sprint(each.Name, " ", each.Unit)] = fmt.Sprint(point.Count, point.Sum, point.Bounds[0], point.Bounds[len(point.Bounds)-1], point.BucketCounts)
		}
	}
	want := map[string]any{
		"lfs.client.reads {read} result=ok,topic=demo":       int64(2),
		"lfs.client.reads {read} result=blob-missing,topic=": int64(1),
		"lfs.client.read.bytes By topic=demo":                int64(2000),
		"lfs.client.read.bytes By topic=":                    int64(0),
		"lfs.client.read.duration s":                         "3 200.04 0.005 300 [0 0 2 0 0 0 0 0 0 0 0 0 0 0 1 0]",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
