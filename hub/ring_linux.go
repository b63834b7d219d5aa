package hub

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring hands many writes to the kernel with one call (io_uring), which costs less than a call for each. Nothing of it waits: a socket that
// would block says so, as it does to write(2). It belongs to one shard's loop.
type ring struct {
	fd      int
	rings   []byte // both queues, mapped
	entries []byte // of the submission queue, mapped
	sqTail  *uint32
	sqMask  uint32
	sqes    []submission
	cqHead  *uint32
	cqTail  *uint32
	cqMask  uint32
	cqes    []completion
	flights []flight
}

// ringSize is how many writes go with one call. The call keeps its processor until all of them are done, so it is not made longer than a
// small part of a millisecond.
const ringSize = 64

// submission and completion are the kernel's struct io_uring_sqe and io_uring_cqe; ringParams is io_uring_params.
type submission struct {
	op, flags uint8
	ioprio    uint16
	fd        int32
	offset    uint64
	addr      uint64
	length    uint32
	msgFlags  uint32
	user      uint64
	_         [3]uint64
}

type completion struct {
	user   uint64
	result int32
	flags  uint32
}

type ringParams struct {
	sqEntries, cqEntries, flags, threadCPU, threadIdle, features, wqFD uint32
	_                                                                  [3]uint32
	sq, cq                                                             ringOffsets
}

// ringOffsets is io_sqring_offsets and io_cqring_offsets, of which head, tail and mask have the same places.
type ringOffsets struct {
	head, tail, mask, entries uint32
	rest                      [4]uint32
	_                         uint64
}

// Numbers of the kernel's interface. All of the flags are there since Linux 5.19; a kernel that does not know them refuses.
const (
	setupSubmitAll   = 1 << 7 // one write that fails does not keep the next ones from being tried
	setupCooperative = 1 << 8 // nothing interrupts the thread to complete a write
	featureOneMap    = 1 << 0
	enterGetEvents   = 1 << 0
	opSend           = 26
	mapRings         = 0
	mapEntries       = 0x10000000
)

// newRing fails where the kernel is too old, or its administrator or a container's profile refuses it.
func newRing() (*ring, error) {
	p := ringParams{flags: setupSubmitAll | setupCooperative}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringSize, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	r := &ring{fd: int(fd), flights: make([]flight, 0, ringSize)}
	if err := r.open(&p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ring) open(p *ringParams) error {
	if p.features&featureOneMap == 0 {
		return fmt.Errorf("io_uring: %w", errors.ErrUnsupported)
	}
	size := max(p.sq.rest[2]+p.sqEntries*4, p.cq.rest[1]+p.cqEntries*uint32(unsafe.Sizeof(completion{})))
	const protect, share = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	var err error
	if r.rings, err = unix.Mmap(r.fd, mapRings, int(size), protect, share); err != nil {
		return fmt.Errorf("map io_uring: %w", err)
	}
	if r.entries, err = unix.Mmap(r.fd, mapEntries, int(p.sqEntries)*int(unsafe.Sizeof(submission{})), protect, share); err != nil {
		return fmt.Errorf("map io_uring: %w", err)
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[offset])) }
	r.sqTail, r.sqMask = at(p.sq.tail), *at(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)
	r.sqes = unsafe.Slice((*submission)(unsafe.Pointer(&r.entries[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*completion)(unsafe.Pointer(&r.rings[p.cq.rest[1]])), p.cqEntries)
	for i, array := uint32(0), unsafe.Slice(at(p.sq.rest[2]), p.sqEntries); i < p.sqEntries; i++ {
		array[i] = i
	}
	return nil
}

func (r *ring) close() {
	if r.rings != nil {
		_ = unix.Munmap(r.rings)
	}
	if r.entries != nil {
		_ = unix.Munmap(r.entries)
	}
	_ = unix.Close(r.fd)
}

// full reports that fly must be called before the next flight is added.
func (r *ring) full() bool { return len(r.flights) == ringSize }

// fly writes what is in flights. After an error those that the kernel has not taken are not done, and the ring is of no more use.
func (r *ring) fly() error {
	n, tail := uint32(len(r.flights)), *r.sqTail
	for i := range r.flights {
		f := &r.flights[i]
		r.sqes[(tail+uint32(i))&r.sqMask] = submission{
			op: opSend, fd: int32(f.c.out.fd), addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(f.b)))), length: uint32(len(f.b)),
			msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, user: uint64(i),
		}
	}
	atomic.StoreUint32(r.sqTail, tail+n)
	var err error
	taken := uint32(0)
	for taken < n && err == nil {
		// Raw, because it does not wait: the loop keeps its processor, as it does over many short writes.
		k, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n-taken), 0, 0, 0, 0)
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			err = os.NewSyscallError("io_uring_enter", errno)
		case k == 0:
			err = errors.New("io_uring takes nothing")
		default:
			taken += uint32(k)
		}
	}
	atomic.StoreUint32(r.sqTail, tail+taken) // the rest is withdrawn
	for done := r.reap(); done < taken; done += r.reap() {
		// A send that does not wait is done by now. Should one not be, its bytes are the kernel's until it is.
		_, _, _ = unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, uintptr(taken-done), enterGetEvents, 0, 0)
	}
	return err
}

// reap notes what became of the flights that are done, and returns how many those are.
func (r *ring) reap() uint32 {
	head, end := *r.cqHead, atomic.LoadUint32(r.cqTail)
	n := end - head
	for ; head != end; head++ {
		q := &r.cqes[head&r.cqMask]
		f := &r.flights[q.user]
		f.done = true
		if errno := syscall.Errno(-q.result); q.result >= 0 {
			f.n = int(q.result)
		} else if errno != syscall.EAGAIN && errno != syscall.EINTR {
			f.err = errno
		}
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}
