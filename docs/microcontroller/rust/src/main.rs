//! Recognizes one digit and says which it is.
#![no_std]
#![no_main]

mod digits;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use digits::{Network, CLASSES, INPUTS, OUTPUTS};
use panic_halt as _;

/// 28 × 28 bytes: in a product, what the camera or the touch panel gives.
static IMAGE: [u8; INPUTS] = *include_bytes!("../image.bin");

#[entry]
fn main() -> ! {
    let mut timer = cortex_m::Peripherals::take().unwrap().SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(0xFF_FFFF);
    timer.clear_current();
    timer.enable_counter();

    // Static memory: the stack stays small.
    let network = cortex_m::singleton!(: Network = Network::new()).unwrap();
    let mut output = [0; OUTPUTS];
    let start = cortex_m::peripheral::SYST::get_current();
    network.predict(&IMAGE, &mut output);
    let ticks = start.wrapping_sub(cortex_m::peripheral::SYST::get_current()) & 0xFF_FFFF;
    hprintln!("This is a {}.", CLASSES[digits::class(&output)]);
    hprintln!("{} ticks of the timer", ticks);

    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}
