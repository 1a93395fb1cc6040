package gateway

import (
	"encoding/binary"
	"errors"
	"time"

	"codeberg.org/sourdine/sourdine/gateway/queue"
	"codeberg.org/sourdine/sourdine/gateway/submission"
	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// A mail program names the mails that it answers by the message ids it gave them
// itself, and the recipients know them by those that we drew. The gateway remembers
// which is which, so that a thread stays one at its reader's. Only what the same
// persona wrote and the same exit handed over is found again: another persona's would
// tie the two together, and an id at another exit's domain names nothing.
//
// The queue keeps, under a keyed hash of persona, exit and the mail program's id,
// our id and the day, sealed to the user. Who has the disk learns how many there are.

// referenceDays is for how many days a mail can be referred to.
const referenceDays = 90

// referenceTag is under what a mail is remembered. A persona that changes its name
// becomes another one.
func referenceTag(key *keyring.Key, p submission.Persona, exit sphinx.NodeID, id string) [32]byte {
	return key.Tag(referenceTagLabel, []byte(p.Login), []byte(p.Name), exit[:], []byte(id))
}

// reference is what the gateway is to remember of a mail; nothing if the mail program
// gave it no id.
func (g *Gateway) reference(l *submission.Letter, p *mail.Parcel, exit sphinx.NodeID) (queue.Reference, error) {
	if l.MessageID == "" {
		return queue.Reference{}, nil
	}
	sealed, err := g.ring.Seal(referenceLabel, binary.BigEndian.AppendUint32(p.MessageID[:], p.Date))
	return queue.Reference{Tag: referenceTag(l.Key, l.Persona, exit, l.MessageID), Sealed: sealed}, err
}

// references are the ids that the recipients know of the earlier mails that a letter
// names. What is not found, or cannot be read, is left out.
func (g *Gateway) references(l *submission.Letter, exit sphinx.NodeID, now time.Time) [][mail.MessageIDLength]byte {
	var found [][mail.MessageIDLength]byte
	for _, named := range l.References {
		sealed, err := g.queue.Reference(referenceTag(l.Key, l.Persona, exit, named))
		if err != nil {
			continue
		}
		if id, day, err := openReference(l.Key, sealed); err == nil && !forgotten(day, now) && named != l.MessageID {
			found = append(found, id)
		}
	}
	return found[max(0, len(found)-mail.MaxReferences):]
}

// forgetAtOnce bounds the time that forgetting takes, about a tenth of a millisecond
// each: a mail adds only one.
const forgetAtOnce = 100

// forgetReferences removes what has been remembered long enough, the oldest first. It
// takes the user's key, since nothing on the disk tells how old an entry is.
func (g *Gateway) forgetReferences(key *keyring.Key, now time.Time) {
	left := forgetAtOnce
	err := g.queue.ForgetReferences(func(sealed []byte) bool {
		if left--; left < 0 {
			return false
		}
		_, day, err := openReference(key, sealed)
		return err != nil || forgotten(day, now)
	})
	if err != nil {
		g.log.Error("forgetting old references failed", "error", err)
	}
}

func openReference(key *keyring.Key, sealed []byte) (id [mail.MessageIDLength]byte, day uint32, err error) {
	b, err := key.Open(referenceLabel, sealed)
	if err == nil && len(b) != len(id)+4 {
		err = errors.New("a reference of another length")
	}
	if err != nil {
		return id, 0, err
	}
	return [mail.MessageIDLength]byte(b), binary.BigEndian.Uint32(b[len(id):]), nil
}

// forgotten reports whether a mail of a day can no longer be referred to.
func forgotten(day uint32, now time.Time) bool {
	return now.Unix()/86400-int64(day) > referenceDays
}
