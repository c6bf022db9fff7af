// A program whose functions are called in every way that makes a call hard to follow, as it is told on
// its standard input: one command per line, answered by one line when it is done.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

type Meta struct {
	Generation uint64
	UID        string
}

type Pod struct {
	Name string
	Meta *Meta
}

// Laid out like OpenTelemetry's: a context holds a pointer to a span, which holds a span context.
type SpanContext struct {
	traceID    [16]byte
	spanID     [8]byte
	traceFlags byte
}

type recordingSpan struct {
	mu          sync.Mutex
	name        string
	spanContext SpanContext
}

type key int

var (
	errThird = errors.New("every third call fails")
	sink     uint64
	spare    Pod
)

//go:noinline
func Sync(name string, pod *Pod, number uint64) (string, error) {
	runtime.Gosched()
	if number%3 == 0 {
		return "", errThird
	}
	return fmt.Sprintf("%s-%d", pod.Name, number), nil
}

//go:noinline
func Recurse(depth int) int {
	if depth == 0 {
		return 0
	}
	return 1 + Recurse(depth-1)
}

// Grow is called with a stack that is too small for it, and outgrows the next one while it runs.
//
//go:noinline
func Grow() bool {
	var frame [16 << 10]byte
	before := uintptr(unsafe.Pointer(&frame))
	sink += uint64(deepen(100))
	return uintptr(unsafe.Pointer(&frame)) != before
}

//go:noinline
func deepen(depth int) int {
	var frame [4 << 10]byte
	frame[depth] = byte(depth)
	if depth == 0 {
		return 0
	}
	return deepen(depth-1) + int(frame[depth])
}

//go:noinline
func Wait(start *sync.WaitGroup, resume <-chan struct{}) {
	start.Done()
	<-resume
}

//go:noinline
func Panic(really bool) int {
	if really {
		panic("as told")
	}
	runtime.Gosched()
	return 1
}

//go:noinline
func Serve(key string, pause time.Duration) error {
	if pause > 0 {
		time.Sleep(pause)
	}
	sink += uint64(len(key))
	return nil
}

//go:noinline
func Traced(ctx context.Context, name string) error {
	sink += uint64(len(name))
	return ctx.Err()
}

// Loop has nothing to do: what a call of it costs is what the probes cost.
//
//go:noinline
func Loop(number uint64) error {
	if number == 1<<63 {
		return leaf(number)
	}
	sink += number
	return nil
}

//go:noinline
func leaf(number uint64) error {
	return fmt.Errorf("%d", number)
}

// Stub looks like a generated client: nothing that matters comes after its last call.
//
//go:noinline
func Stub(key string, number uint64) (*Pod, error) {
	pod := &spare
	pod.Name = key
	err := invoke(number)
	if err != nil {
		return nil, err
	}
	return pod, nil
}

//go:noinline
func invoke(number uint64) error {
	sink += number
	if number%3 == 0 {
		return errThird
	}
	return nil
}

// Says how many nanoseconds of a processor some work took.
func timed(work func()) string {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := spent()
	work()
	return fmt.Sprint(spent() - before)
}

// The clock of this thread: getrusage is behind by up to a tick.
func spent() int64 {
	const threadClock = 3
	var now syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func catch(really bool) {
	defer func() { _ = recover() }()
	sink += uint64(Panic(really))
}

func inParallel(count int, work func()) {
	var all sync.WaitGroup
	for range count {
		all.Add(1)
		go func() {
			defer all.Done()
			work()
		}()
	}
	all.Wait()
}

func run(command string, count int) string {
	switch command {
	case "sync":
		for number := range count {
			pod := &Pod{Name: "web", Meta: &Meta{Generation: 7, UID: fmt.Sprintf("uid-%d", number)}}
			_, _ = Sync(fmt.Sprintf("default/web-%d", number), pod, uint64(number))
		}
	case "recurse":
		return fmt.Sprint(Recurse(count - 1))
	case "grow":
		moved := 0
		var lock sync.Mutex
		inParallel(count, func() {
			if Grow() {
				lock.Lock()
				moved++
				lock.Unlock()
			}
		})
		return fmt.Sprint(moved)
	case "wait":
		var started sync.WaitGroup
		resume := make(chan struct{})
		started.Add(count)
		go func() {
			// Whoever wakes them keeps this thread to itself.
			runtime.LockOSThread()
			started.Wait()
			close(resume)
		}()
		inParallel(count, func() { Wait(&started, resume) })
	case "panic":
		for range count {
			catch(true)
			catch(false)
		}
	case "serve":
		for number := range count {
			switch {
			case number%10 == 0:
				_ = Serve(fmt.Sprintf("/registry/pods/default/web-%d", number), 0)
			case number%100 == 1:
				_ = Serve("/registry/leases/slow", 60*time.Millisecond)
			default:
				_ = Serve("/reg", 0)
			}
		}
	case "trace":
		span := &recordingSpan{name: "native"}
		copy(span.spanContext.traceID[:], "0123456789abcdef")
		copy(span.spanContext.spanID[:], "spanspan")
		span.spanContext.traceFlags = 1
		ctx := context.WithValue(context.Background(), key(1), span)
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, key(2), "other"), time.Hour)
		for range count {
			_ = Traced(ctx, "inside")
			_ = Traced(context.Background(), "outside")
		}
		cancel()
	case "loop":
		return timed(func() {
			for number := range count {
				_ = Loop(uint64(number))
			}
		})
	case "stub":
		return timed(func() {
			for number := range count {
				_, _ = Stub("/registry/leases/node", uint64(number))
			}
		})
	case "hang":
		var started sync.WaitGroup
		started.Add(count)
		for range count {
			go Wait(&started, nil)
		}
		started.Wait()
	default:
		return "unknown"
	}
	return "done"
}

func main() {
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		name, number, _ := strings.Cut(commands.Text(), " ")
		count := 0
		_, _ = fmt.Sscan(number, &count)
		fmt.Println(run(name, count))
	}
}
