package discordgo

import (
	"slices"
	"testing"
	"time"

	"github.com/bwmarrin/discordgo"

	"tidings/sim"
	"tidings/sim/simtest"
)

// aim sends the library to the simulator. Its endpoints are package variables.
func aim(url string) {
	api := url + "/api/v" + discordgo.APIVersion + "/"
	discordgo.EndpointDiscord = url + "/"
	discordgo.EndpointAPI = api
	discordgo.EndpointGuilds = api + "guilds/"
	discordgo.EndpointChannels = api + "channels/"
	discordgo.EndpointUsers = api + "users/"
	discordgo.EndpointGateway = api + "gateway"
	discordgo.EndpointGatewayBot = api + "gateway/bot"
	discordgo.EndpointWebhooks = api + "webhooks/"
}

func TestDiscordgoLivesHere(t *testing.T) {
	type O = simtest.Object
	r := simtest.Start(t, sim.Options{HeartbeatInterval: 2 * time.Second})
	aim(r.URL)
	ada, bob := r.Person("ada"), r.Person("bob")
	g := r.Guild("Works", ada, []simtest.Person{bob}, []string{"general"}, nil)
	ch := g.Channel("general")

	s, err := discordgo.New("Bot " + r.Bot.Token)
	if err != nil {
		t.Fatal(err)
	}
	s.Identify.Intents = discordgo.IntentsAllWithoutPrivileged | discordgo.IntentsMessageContent | discordgo.IntentsGuildMembers
	heard := make(chan string, 1000)
	s.AddHandler(func(_ *discordgo.Session, m *discordgo.MessageCreate) { heard <- "message " + m.Content })
	s.AddHandler(func(_ *discordgo.Session, m *discordgo.MessageUpdate) { heard <- "edit " + m.Content })
	s.AddHandler(func(_ *discordgo.Session, m *discordgo.MessageDelete) { heard <- "delete " + m.ID })
	s.AddHandler(func(_ *discordgo.Session, m *discordgo.MessageReactionAdd) { heard <- "react " + m.Emoji.Name })
	s.AddHandler(func(_ *discordgo.Session, m *discordgo.ThreadCreate) { heard <- "thread " + m.Name })
	s.AddHandler(func(_ *discordgo.Session, m *discordgo.GuildCreate) { heard <- "guild " + m.Name })
	s.AddHandler(func(_ *discordgo.Session, _ *discordgo.Resumed) { heard <- "resumed" })
	// want waits for all of these, in whatever order: the library starts a goroutine for each.
	want := func(all ...string) {
		t.Helper()
		timeout := time.After(60 * time.Second)
		for len(all) > 0 {
			select {
			case h := <-heard:
				all = slices.DeleteFunc(all, func(w string) bool { return w == h })
			case <-timeout:
				t.Fatalf("discordgo did not hear %q", all)
			}
		}
	}
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want("guild Works")

	m := r.Say(bob, ch, "hello")
	id := m["id"].(string)
	want("message hello")
	r.Must(bob.Token, "PATCH", "/channels/"+ch+"/messages/"+id, O{"content": "hello again"}, nil)
	want("edit hello again")
	r.Must(ada.Token, "PUT", "/channels/"+ch+"/messages/"+id+"/reactions/%F0%9F%91%8D/@me", nil, nil)
	want("react 👍")
	r.Must(bob.Token, "POST", "/channels/"+ch+"/messages/"+id+"/threads", O{"name": "aside"}, nil)
	want("thread aside")
	sent, err := s.ChannelMessageSend(ch, "from the bot")
	if err != nil {
		t.Fatal(err)
	}
	want("message from the bot")
	page, err := s.ChannelMessages(ch, 100, "", "", "")
	if err != nil || len(page) != 2 || page[0].ID != sent.ID {
		t.Errorf("history = %d messages, %v; want the bot's message first of two", len(page), err)
	}
	if err := s.ChannelMessageDelete(ch, sent.ID); err != nil {
		t.Error(err)
	}
	want("delete " + sent.ID)

	r.Sim200("POST", "/sim/faults", O{"kind": "close", "args": O{"code": 4000}}, nil)
	r.Say(bob, ch, "while away")
	want("message while away", "resumed")
	r.Say(bob, ch, "still here")
	want("message still here")
}
