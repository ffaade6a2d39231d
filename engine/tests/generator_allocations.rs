//! Values are drawn without allocating, once their buffer has held the largest.

use engine::{Column, Generator, Mix, MixEntry, Order, Zipfian};
use wire::Values;

#[test]
fn no_draw_allocates_once_the_buffer_is_large_enough() {
    let generators = vec![
        Generator::Uniform(1, i64::MAX),
        Generator::Zipfian(Zipfian::new(1, 1_000_000, 1.1).unwrap()),
        Generator::Uuid,
        Generator::Words(20),
        Generator::Sequence(0),
        Generator::Text("the same".into()),
        Generator::Literal("true".into()),
        Generator::Integer(1),
        Generator::Pick(Column::Texts(["a", "b"].map(Box::from).into()), Order::Row { salt: 1 }),
        Generator::Pick(Column::Integers([1, 2].into()), Order::Each),
    ];
    let mix = Mix::new(vec![MixEntry { weight: 1, generators }]).unwrap();
    let mut values = Values::new();
    values.push_text(&" ".repeat(4096));
    for number in 0..10 {
        mix.fill(1, number, &mut values);
    }
    let counted = allocation_counter::measure(|| {
        for number in 10..10_000 {
            mix.fill(1, number, &mut values);
        }
    });
    assert_eq!(counted.count_total, 0);
}
