package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/diamondburned/arikawa/v3/discord"

	"tidings"
	"tidings/jobs"
	"tidings/store"
)

// shifting is a guild that may change right after its roles were read.
type shifting struct {
	may       tidings.Permissions
	meanwhile func()
	rescans   int
}

func (*shifting) Guilds(context.Context) ([]tidings.Guild, error) { return nil, nil }

func (s *shifting) Guild(context.Context, discord.GuildID) (tidings.Guild, []tidings.Role, error) {
	roles := []tidings.Role{{ID: discord.RoleID(testGuild), Guild: testGuild, Permissions: s.may}}
	if s.meanwhile != nil {
		s.meanwhile()
	}
	return tidings.Guild{ID: testGuild, Name: "guild"}, roles, nil
}

func (*shifting) Channels(context.Context, discord.GuildID) ([]tidings.Channel, error) {
	return []tidings.Channel{{ID: testChannel, Guild: testGuild}}, nil
}

func (*shifting) ActiveThreads(context.Context, discord.GuildID) ([]tidings.Channel, error) {
	return nil, nil
}

func (*shifting) Self(context.Context, discord.GuildID) (*tidings.Member, error) {
	return &tidings.Member{Guild: testGuild, User: 5}, nil
}

func (*shifting) ThreadMembers(context.Context, discord.ChannelID) ([]discord.UserID, error) {
	return nil, nil
}

func (s *shifting) Rescan(discord.GuildID) { s.rescans++ }

// A right that is taken away while a guild is read again does not come back with what was read, and the guild is read once more.
func TestAGuildThatChangesWhileItIsReadIsReadOnceMore(t *testing.T) {
	t.Parallel()
	s, db, door, _ := fetching(t, &past{})
	told := func(body tidings.Body) {
		t.Helper()
		if err := door.Commit(t.Context(), tidings.Event{Guild: testGuild, At: time.Now(), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	odd := tidings.Event{Guild: testGuild, At: time.Now(), Body: tidings.Unreadable{Name: "GUILD_ROLE_UPDATE", Raw: []byte(`{}`)}}
	if _, err := s.DeadLetter(t.Context(), odd, errors.New("odd")); err != nil {
		t.Fatal(err)
	}
	guild := &shifting{may: tidings.PermissionViewChannel}
	guild.meanwhile = func() {
		guild.may = 0
		told(tidings.RoleSeen{Role: tidings.Role{ID: discord.RoleID(testGuild), Guild: testGuild}})
	}
	read := jobs.ReadGuild(guild, s, door, guild, slog.New(slog.DiscardHandler))
	job := store.Job{Key: testGuild.String(), Guild: testGuild}
	if err := read(t.Context(), job); !errors.Is(err, tidings.ErrUnavailable) || guild.rescans != 0 {
		t.Errorf("reading a guild that changes = %v with %d looks at its members, want ErrUnavailable and none", err, guild.rescans)
	}
	permissions := func() (p int64) {
		t.Helper()
		if err := db.Get(&p, `SELECT permissions FROM roles WHERE id = $1`, int64(testGuild)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if got := permissions(); got != 0 {
		t.Errorf("everybody's permissions are %d, want none: they were taken away", got)
	}
	guild.meanwhile = nil
	if err := read(t.Context(), job); err != nil || guild.rescans != 1 {
		t.Errorf("reading it once more = %v with %d looks at its members, want one", err, guild.rescans)
	}
	if doubted, err := s.Doubted(t.Context(), testGuild); err != nil || doubted {
		t.Errorf("Doubted() = %t, %v, want that it was read", doubted, err)
	}
}
