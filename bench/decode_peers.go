package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/bwmarrin/discordgo"
	"github.com/diamondburned/arikawa/v3/gateway"
	"github.com/diamondburned/arikawa/v3/session"
	"github.com/diamondburned/arikawa/v3/utils/handler"
	disgo "github.com/disgoorg/disgo/gateway"
)

var errSlow = errors.New("not all events came in time")

func within(done <-chan serverReport) (serverReport, error) {
	select {
	case used := <-done:
		return used, nil
	case <-time.After(consumeTime):
		return serverReport{}, errSlow
	}
}

// consumeByArikawa is its session, which keeps no state.
func consumeByArikawa(addr string) (serverReport, error) {
	var m meter
	done := make(chan serverReport, 1)
	s := session.NewWithGateway(gateway.NewCustom("ws://"+addr, "Bot bench"), handler.New())
	s.AddSyncHandler(func(*gateway.MessageCreateEvent) {
		if used, all := m.one(); all {
			done <- used
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), consumeTime)
	defer cancel()
	if err := s.Open(ctx); err != nil {
		return serverReport{}, err
	}
	return within(done)
}

// consumeByDiscordgo keeps no state and calls its handler without a goroutine for each event.
func consumeByDiscordgo(addr string) (serverReport, error) {
	discordgo.EndpointGateway = "http://" + addr + "/gateway"
	s, err := discordgo.New("Bot bench")
	if err != nil {
		return serverReport{}, err
	}
	s.StateEnabled, s.SyncEvents = false, true
	var m meter
	done := make(chan serverReport, 1)
	s.AddHandler(func(*discordgo.Session, *discordgo.MessageCreate) {
		if used, all := m.one(); all {
			done <- used
		}
	})
	if err := s.Open(); err != nil {
		return serverReport{}, err
	}
	return within(done)
}

// consumeByDisgo is its gateway alone, without the client's caches above it.
func consumeByDisgo(addr string) (serverReport, error) {
	var m meter
	done := make(chan serverReport, 1)
	g := disgo.New("bench", func(_ disgo.EventType, _ int, _ int, ev disgo.EventData) {
		if _, ok := ev.(disgo.EventMessageCreate); ok {
			if used, all := m.one(); all {
				done <- used
			}
		}
	}, nil, disgo.WithURL("ws://"+addr), disgo.WithCompress(false), disgo.WithAutoReconnect(false), disgo.WithLogger(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithTimeout(context.Background(), consumeTime)
	defer cancel()
	if err := g.Open(ctx); err != nil {
		return serverReport{}, err
	}
	return within(done)
}
