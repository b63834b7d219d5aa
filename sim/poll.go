package sim

import "slices"

// PollMedia is the text and emoji of a question or an answer.
type PollMedia struct {
	Text  string             `json:"text,omitempty"`
	Emoji *wireReactionEmoji `json:"emoji,omitempty"`
}

// PollAnswer is one choice and who took it.
type PollAnswer struct {
	Media  PollMedia `json:"media"`
	Voters []ID      `json:"voters"`
}

// Poll is the poll of a message.
type Poll struct {
	Question    PollMedia    `json:"question"`
	Answers     []PollAnswer `json:"answers"`
	Expiry      Stamp        `json:"expiry"`
	Multiselect bool         `json:"multiselect"`
	Finalized   bool         `json:"finalized"`
}

type wirePoll struct {
	Question    PollMedia        `json:"question"`
	Answers     []wirePollAnswer `json:"answers"`
	Expiry      Stamp            `json:"expiry"`
	Multiselect bool             `json:"allow_multiselect"`
	LayoutType  int              `json:"layout_type"`
	Results     wirePollResults  `json:"results"`
}

type wirePollAnswer struct {
	ID    int       `json:"answer_id"`
	Media PollMedia `json:"poll_media"`
}

type wirePollResults struct {
	Finalized bool            `json:"is_finalized"`
	Counts    []wirePollCount `json:"answer_counts"`
}

type wirePollCount struct {
	ID    int  `json:"id"`
	Count int  `json:"count"`
	Me    bool `json:"me_voted"`
}

func (p *Poll) wire(viewer ID) *wirePoll {
	w := &wirePoll{Question: p.Question, Expiry: p.Expiry, Multiselect: p.Multiselect, LayoutType: 1}
	w.Results.Finalized = p.Finalized
	w.Results.Counts = []wirePollCount{}
	for i, a := range p.Answers {
		w.Answers = append(w.Answers, wirePollAnswer{ID: i + 1, Media: a.Media})
		if len(a.Voters) > 0 {
			w.Results.Counts = append(w.Results.Counts, wirePollCount{ID: i + 1, Count: len(a.Voters), Me: slices.Contains(a.Voters, viewer)})
		}
	}
	return w
}
