// Runs the kernels of fibers.h: the scheduler of a block's threads, and memory with guards. x86-64.
#include "fibers.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#define SHIM_EXPORT extern "C" __attribute__((visibility("default")))

// Keeps the callee's registers and the stack of one fiber, and goes on with those of another.
asm(R"(
.text
.type shim_switch, @function
shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" void shim_switch(void **from, void *to);
extern "C" char __start_tm_shared, __stop_tm_shared;

namespace shim {

Index shim_thread_index, shim_block_index, shim_block_size, shim_grid_size;

namespace {

constexpr int kMostThreads = 1024, kStackBytes = 128 * 1024, kSavedRegisters = 6;

struct Copy {
  void *to;
  const void *from;
  int bundle;
};

struct Fiber {
  void *stack;
  bool done;
  Wait wait;
  int exchanges;  // how often it has met its warp
  int bundles;
  std::vector<Copy> copies;
};

using Kernel = void (*)(const void *);

struct Run {
  Kernel kernel;
  const void *call;
  Fiber fibers[kMostThreads];
  int threads, current;
  void *scheduler;
  uint64_t slots[2][kMostThreads][kWords];
  const char *failure;
  jmp_buf out;
};

Run run;
char *stacks;

void enter() {
  run.kernel(run.call);
  run.fibers[run.current].done = true;
  shim_switch(&run.fibers[run.current].stack, run.scheduler);
  abort();  // a fiber that is done is not resumed
}

void prepare(Fiber &fiber, char *stack) {
  void **top = reinterpret_cast<void **>(stack + kStackBytes) - 2;
  *top = reinterpret_cast<void *>(enter);
  fiber.stack = top - kSavedRegisters;
  fiber.done = false;
  fiber.wait = kNothing;
  fiber.exchanges = fiber.bundles = 0;
  fiber.copies.clear();
}

void resume(int thread) {
  run.current = thread;
  shim_thread_index = {static_cast<unsigned>(thread), 0, 0};
  shim_switch(&run.scheduler, run.fibers[thread].stack);
}

// Whether all of [first, last) wait for one instruction of a warp; then they may go on.
bool release_warp(int first, int last) {
  const Wait wait = run.fibers[first].wait;
  for (int i = first; i < last; i++)
    if (run.fibers[i].done || run.fibers[i].wait != wait || wait <= kBlock) return false;
  for (int i = first; i < last; i++) run.fibers[i].wait = kNothing;
  return true;
}

bool release_block() {
  bool any = false;
  for (int i = 0; i < run.threads; i++) {
    if (run.fibers[i].done) continue;
    if (run.fibers[i].wait != kBlock) return false;
    any = true;
  }
  for (int i = 0; i < run.threads; i++) run.fibers[i].wait = kNothing;
  return any;
}

bool finished() {
  for (int i = 0; i < run.threads; i++)
    if (!run.fibers[i].done) return false;
  return true;
}

// A warp as far as it comes without the others: to the next barrier of the block. A warp that hurries
// ahead of all others, or comes last, is what a missing barrier shows with.
bool run_warp(int first, int last, bool reverse) {
  bool moved = false;
  do {
    for (int n = 0; n < last - first; n++) {
      const int i = reverse ? last - 1 - n : first + n;
      if (run.fibers[i].done || run.fibers[i].wait != kNothing) continue;
      moved = true;
      resume(i);
    }
  } while (release_warp(first, last));
  return moved;
}

// Each thread of a block to its end. `reverse`: the last warp of each round goes first, and the last
// lane of a warp.
void run_block(bool reverse) {
  for (int i = 0; i < run.threads; i++) prepare(run.fibers[i], stacks + i * kStackBytes);
  const int warps = (run.threads + kLanes - 1) / kLanes;
  while (!finished()) {
    bool moved = false;
    for (int n = 0; n < warps; n++) {
      const int first = (reverse ? warps - 1 - n : n) * kLanes;
      const int last = first + kLanes < run.threads ? first + kLanes : run.threads;
      moved = run_warp(first, last, reverse) || moved;
    }
    if (!release_block() && !moved) shim_fail("its threads wait for different things");
  }
}

void on_fault(int) { shim_fail("it touched memory that is not its own"); }

// Faults of the kernel are its failure, and nobody else's.
struct FaultGuard {
  struct sigaction old_segv, old_bus;
  stack_t old_stack;
  char memory[1 << 16];
  FaultGuard() {
    stack_t stack = {};
    stack.ss_sp = memory;
    stack.ss_size = sizeof memory;
    sigaltstack(&stack, &old_stack);
    struct sigaction action = {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
  }
  ~FaultGuard() {
    sigaction(SIGSEGV, &old_segv, nullptr);
    sigaction(SIGBUS, &old_bus, nullptr);
    sigaltstack(&old_stack, nullptr);
  }
};

size_t rounded_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

void *mapped(size_t size) {
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

uint64_t (*shim_slots())[kWords] {
  const int warp = run.current / kLanes * kLanes;
  return run.slots[run.fibers[run.current].exchanges++ % 2] + warp;
}

void shim_wait(Wait wait) {
  run.fibers[run.current].wait = wait;
  shim_switch(&run.fibers[run.current].stack, run.scheduler);
}

void shim_fail(const char *reason) {
  run.failure = reason;
  longjmp(run.out, 1);
}

void shim_start_copy(void *to, const void *from) {
  Fiber &fiber = run.fibers[run.current];
  fiber.copies.push_back({to, from, fiber.bundles});
}

void shim_bundle_copies() { run.fibers[run.current].bundles++; }

void shim_await_copies(int left) {
  Fiber &fiber = run.fibers[run.current];
  size_t done = 0;
  for (; done < fiber.copies.size() && fiber.copies[done].bundle < fiber.bundles - left; done++)
    memcpy(fiber.copies[done].to, fiber.copies[done].from, 16);
  fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + static_cast<long>(done));
}

}  // namespace shim

using namespace shim;

// Null, or why the launch failed. `rubbish` is what shared memory is filled with.
SHIM_EXPORT const char *shim_launch(Kernel kernel, const void *call, const unsigned grid[3],
                                    unsigned threads, int reverse, int rubbish) {
  if (stacks == nullptr) stacks = static_cast<char *>(mapped(size_t{kMostThreads} * kStackBytes));
  if (stacks == nullptr || threads == 0 || threads > kMostThreads) return "no such block";
  run.kernel = kernel;
  run.call = call;
  run.threads = static_cast<int>(threads);
  run.failure = nullptr;
  shim_block_size = {threads, 1, 1};
  shim_grid_size = {grid[0], grid[1], grid[2]};
  const FaultGuard guard;
  if (setjmp(run.out) != 0) return run.failure;
  const uint64_t blocks = uint64_t{grid[0]} * grid[1] * grid[2];
  for (uint64_t n = 0; n < blocks; n++) {
    const uint64_t b = reverse ? blocks - 1 - n : n;
    shim_block_index = {static_cast<unsigned>(b % grid[0]),
                        static_cast<unsigned>(b / grid[0] % grid[1]),
                        static_cast<unsigned>(b / grid[0] / grid[1])};
    memset(&__start_tm_shared, rubbish, &__stop_tm_shared - &__start_tm_shared);
    run_block(reverse);
  }
  return nullptr;
}

// Memory that ends where none may be touched, filled with `rubbish`. Aligned to 16.
SHIM_EXPORT void *shim_allocate(uint64_t size, int rubbish) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t used = rounded_up(size, 16), whole = rounded_up(used, page);
  char *memory = static_cast<char *>(mapped(whole + 2 * page));
  if (memory == nullptr) return nullptr;
  mprotect(memory, page, PROT_NONE);
  mprotect(memory + page + whole, page, PROT_NONE);
  memset(memory + page, rubbish, whole);
  return memory + page + whole - used;
}

SHIM_EXPORT void shim_release(void *memory, uint64_t size) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t used = rounded_up(size, 16), whole = rounded_up(used, page);
  munmap(static_cast<char *>(memory) + used - whole - page, whole + 2 * page);
}
