package mixnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkMetrics refuses an address that others than this machine could ask.
func checkMetrics(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().IsLoopback() || a.Port() == 0 {
		return fmt.Errorf("metrics = %q: write an address of this machine alone and a port, as 127.0.0.1:9464: what a node counts is for its operator's eyes", address)
	}
	return nil
}

// serveMetrics answers Prometheus until ctx ends.
func (n *node) serveMetrics(ctx context.Context) error {
	l, err := net.Listen("tcp", n.cfg.Metrics)
	if err != nil {
		return fmt.Errorf("metrics: %w: is another program using the port?", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(&metrics{report: n.report, now: n.now})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	s := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// resolution is how often metrics change at most. A finer count would be a record
// of when packets came.
const resolution = time.Minute

// metrics are a node's counts as Prometheus collects them.
type metrics struct {
	report func() *Status
	now    func() time.Time

	mu sync.Mutex
	at time.Time
	st *Status
}

// figure is one metric. Its values are in the order of its label's.
type figure struct {
	name, help, label string
	kind              prometheus.ValueType
	labels            []string
	values            func(*Status) []float64
}

var figures = []figure{
	{"sourdine_node_packets_total", "Packets, by what became of them.", "what", prometheus.CounterValue,
		[]string{"received", "forwarded", "replied", "requested", "answered"},
		func(st *Status) []float64 {
			return floats(st.Received, st.Forwarded, st.Replies, st.Requests, st.Answers)
		}},
	{"sourdine_node_dropped_total", "Packets that went no further, by the reason.", "reason", prometheus.CounterValue,
		[]string{"damaged", "replayed", "misrouted", "unroutable", "limited", "shed", "slow", "stale", "unsynced", "broken"},
		func(st *Status) []float64 {
			d := &st.Dropped
			return floats(d.Damaged, d.Replayed, d.Misrouted, d.Unroutable, d.Limited, d.Shed, d.Slow, d.Stale, d.Unsynced, d.Broken)
		}},
	{"sourdine_node_throttled_total", "Packets that had to wait outside, for their node sends more than its share.", "", prometheus.CounterValue, nil,
		func(st *Status) []float64 { return floats(st.Throttled) }},
	{"sourdine_node_loops_total", "Packets that the node sent to itself.", "what", prometheus.CounterValue,
		[]string{"sent", "home", "lost"},
		func(st *Status) []float64 { return floats(st.Loops.Sent, st.Loops.Home, st.Loops.Lost) }},
	{"sourdine_node_alarms", "Alarms that packets are dropped: `sourdine node status` says where.", "", prometheus.GaugeValue, nil,
		func(st *Status) []float64 { return floats(len(st.Alarms)) }},
	{"sourdine_node_overdue_total", "Answers that left too late to hide how long they took.", "", prometheus.CounterValue, nil,
		func(st *Status) []float64 { return floats(st.Dropped.Overdue) }},
	{"sourdine_node_waiting", "Packets that wait, and of them those that wait only for their neighbour.", "what", prometheus.GaugeValue,
		[]string{"all", "ready"}, func(st *Status) []float64 { return floats(st.Held, st.Ready) }},
	{"sourdine_node_capacity", "Packets that may wait.", "", prometheus.GaugeValue, nil,
		func(st *Status) []float64 { return floats(st.Capacity) }},
	{"sourdine_node_neighbours", "Nodes next to this one by the consensus, and those of them that are connected.", "what", prometheus.GaugeValue,
		[]string{"from", "from_connected", "to", "to_connected"},
		func(st *Status) []float64 { return floats(st.From, st.FromNow, st.To, st.ToNow) }},
	{"sourdine_node_gateways", "Gateways connected to an entry.", "", prometheus.GaugeValue, nil,
		func(st *Status) []float64 { return floats(st.Gateways) }},
	{"sourdine_node_listed", "1 if the consensus lists this node.", "", prometheus.GaugeValue, nil,
		func(st *Status) []float64 { return truth(st.Listed) }},
	{"sourdine_node_consensus", "1 if there is a consensus for this epoch.", "", prometheus.GaugeValue, nil,
		func(st *Status) []float64 { return truth(st.Consensus) }},
	{"sourdine_node_troubles", "Things that are not as they should be: `sourdine node status` says which.", "", prometheus.GaugeValue, nil,
		func(st *Status) []float64 { return floats(len(st.Troubles)) }},
	{"sourdine_node_month_bytes", "Bytes over the links in this calendar month, both ways.", "", prometheus.GaugeValue, nil,
		func(st *Status) []float64 { return floats(st.Line.MonthBytes) }},
}

func floats[T int | uint64](values ...T) []float64 {
	list := make([]float64, len(values))
	for i, v := range values {
		list[i] = float64(v)
	}
	return list
}

func truth(b bool) []float64 {
	if b {
		return []float64{1}
	}
	return []float64{0}
}

func (f *figure) desc() *prometheus.Desc {
	var labels []string
	if f.label != "" {
		labels = []string{f.label}
	}
	return prometheus.NewDesc(f.name, f.help, labels, nil)
}

// Describe is a prometheus.Collector's.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for i := range figures {
		out <- figures[i].desc()
	}
}

// Collect is a prometheus.Collector's.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	st := m.snapshot()
	for i := range figures {
		f := &figures[i]
		for j, value := range f.values(st) {
			out <- prometheus.MustNewConstMetric(f.desc(), f.kind, value, f.labels[min(j, len(f.labels)):min(j+1, len(f.labels))]...)
		}
	}
}

// snapshot is the node's status, the same until a minute has passed.
func (m *metrics) snapshot() *Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); m.st == nil || now.Sub(m.at) >= resolution {
		m.at, m.st = now, m.report()
	}
	return m.st
}
