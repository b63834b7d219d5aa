package render

import (
	"fmt"
	"strings"

	"tidings"
)

// systemLine says as a sentence what one of Discord's own lines means; "" for what people and bots write.
// Source: discord.com/developers/docs/resources/message#message-object-message-types.
func systemLine(kind int, p payload, who, content string) string {
	other := "someone"
	if len(p.Mentions) > 0 {
		other = userName(&p.Mentions[0].payloadUser, p.Mentions[0].Member)
	}
	switch kind {
	case tidings.TypeDefault, tidings.TypeReply, tidings.TypeChatInputCommand, tidings.TypeContextMenuCommand:
		return ""
	case 1:
		return who + " added " + other + " to the group."
	case 2:
		return who + " removed " + other + " from the group."
	case 3:
		return who + " started a call."
	case 4:
		return who + " changed the channel's name to " + quoted(content) + "."
	case 5:
		return who + " changed the channel's icon."
	case 6:
		return who + " pinned a message to this channel."
	case 7:
		return who + " joined the server."
	case 8, 9, 10, 11:
		times := ""
		if n := strings.TrimSpace(content); n != "" && n != "1" && digits(n) {
			times = " " + n + " times"
		}
		line := who + " boosted the server" + times + "."
		if kind > 8 {
			line += fmt.Sprintf(" The server has reached level %d.", kind-8)
		}
		return line
	case 12:
		return who + " follows " + quoted(content) + " here. Its most important updates will show up in this channel."
	case 14:
		return "This server is no longer eligible for Server Discovery."
	case 15:
		return "This server is eligible for Server Discovery again."
	case 16:
		return "This server has failed Server Discovery's requirements for a week."
	case 17:
		return "This server has failed Server Discovery's requirements for three weeks and may be removed."
	case tidings.TypeThreadCreated:
		return who + " started a thread: " + quoted(content) + "."
	case tidings.TypeThreadStarter:
		return "The message that started this thread is shown in its channel."
	case 22:
		return "Discord reminds to invite people to this server."
	case 24:
		return "AutoMod has acted on a message."
	case 25:
		tier := ""
		if t := p.Subscription.v; t != nil && t.Name != "" {
			tier = " to " + quoted(string(t.Name))
		}
		return who + " subscribed" + tier + "."
	case 26:
		return who + " sees an offer of a premium interaction."
	case 27:
		return who + " started the stage: " + quoted(content) + "."
	case 28:
		return who + " ended the stage: " + quoted(content) + "."
	case 29:
		return who + " is now a speaker."
	case 31:
		return who + " changed the stage's topic to " + quoted(content) + "."
	case 32:
		return who + " subscribed to an application."
	case 36:
		return who + " turned on security actions until " + quoted(content) + "."
	case 37:
		return who + " turned off security actions."
	case 38:
		return who + " reported a raid."
	case 39:
		return who + " reported a false alarm."
	case 44:
		return who + " bought something."
	case 46:
		return pollEnded(p, who)
	case 55:
		return who + " changed the icon's emoji."
	}
	if content != "" || len(p.Embeds) > 0 || len(p.Attachments) > 0 || len(p.Components) > 0 {
		return ""
	}
	return who + fmt.Sprintf(" did something that is not known here yet (message type %d).", kind)
}

// pollEnded says what came out of a poll: Discord tells it in the fields of an embed.
func pollEnded(p payload, who string) string {
	said := map[string]string{}
	for _, e := range p.Embeds {
		if e.Type != "poll_result" {
			continue
		}
		for _, f := range e.Fields {
			said[string(f.Name)] = string(f.Value)
		}
	}
	line := who + "'s poll has ended"
	if q := said["poll_question_text"]; q != "" {
		line += ": " + quoted(q)
	}
	line += "."
	switch answer, votes := said["victor_answer_text"], said["victor_answer_votes"]; {
	case answer != "" && digits(votes) && digits(said["total_votes"]):
		line += " " + quoted(answer) + " won with " + votes + " of " + said["total_votes"] + " votes."
	case answer != "":
		line += " " + quoted(answer) + " won."
	case said["total_votes"] == "0":
		line += " Nobody voted."
	case len(said) > 0:
		line += " It was a draw."
	}
	return line
}

func quoted(s string) string { return "“" + clip(strings.Join(strings.Fields(s), " "), 100) + "”" }
