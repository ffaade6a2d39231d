//! Values are drawn without allocating, once their buffer has held the largest.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use engine::{Column, Generator, Mix, MixEntry, Order, Zipfian};
use wire::Values;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn no_draw_allocates_once_the_buffer_is_large_enough() {
    let generators = vec![
        Generator::Uniform(1, i64::MAX),
        Generator::Zipfian(Zipfian::new(1, 1_000_000, 1.1).unwrap()),
        Generator::Uuid,
        Generator::Words(20),
        Generator::Sequence(0),
        Generator::Text("the same".into()),
        Generator::Pick(Column::Texts(["a", "b"].map(Box::from).into()), Order::Row { salt: 1 }),
        Generator::Pick(Column::Integers([1, 2].into()), Order::Each),
    ];
    let mix = Mix::new(vec![MixEntry { weight: 1, generators }]).unwrap();
    let mut values = Values::new();
    values.push_text(&" ".repeat(4096));
    for number in 0..10 {
        mix.fill(1, number, &mut values);
    }
    let before = ALLOCATIONS.get();
    for number in 10..10_000 {
        mix.fill(1, number, &mut values);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
