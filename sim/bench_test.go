package sim_test

import (
	"fmt"
	"strconv"
	"testing"

	"tidings/sim"
	"tidings/sim/simtest"
)

// BenchmarkReplayToOneClient says how many messages a second one client gets: the simulator must not be what limits a
// measurement.
func BenchmarkReplayToOneClient(b *testing.B) {
	r := simtest.Start(b, sim.Options{OnExchange: func(sim.Exchange) {}, OnEvent: func(string, []byte) {}})
	g := r.Guild("Chat", r.Person("ada"), nil, nil, nil)
	c, _ := login(b, r, allIntents)
	c.want("GUILD_CREATE")
	lines := make([]map[string]string, b.N)
	for i := range lines {
		lines[i] = map[string]string{"channel": "room" + strconv.Itoa(i%50), "nick": fmt.Sprintf("nick%d", i%500), "text": "a line of the usual length, as people write them in a chat, number " + strconv.Itoa(i)}
	}
	b.ResetTimer()
	r.Sim200("POST", "/sim/replay", map[string]any{"lines": lines, "guild": g.ID}, nil)
	for n := 0; n < b.N; {
		_, data, err := c.ws.Read(c.ctx)
		if err != nil {
			b.Fatal(err)
		}
		if isMessageCreate(data) {
			n++
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func isMessageCreate(data []byte) bool {
	for i := range min(len(data), 40) {
		if len(data) > i+14 && string(data[i:i+14]) == "MESSAGE_CREATE" {
			return true
		}
	}
	return false
}
