;; Drives the base of examples/robots/diff_drive.toml as a person asks: wheel velocities from the inputs `forward` (m/s)
;; and `turn` (rad/s, to the left). An input that is too old reads NaN; then both wheels are told to stop, which they do
;; along their deceleration limit. What the wheels cannot do is slowed down as a whole, so that the curve stays.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "command" "limit_max" (func $limit_max (param i32) (result f64)))
  (import "state" "get" (func $state (param i32) (result f64)))

  (global $left i32 (i32.const 0))
  (global $right i32 (i32.const 1))
  (global $forward i32 (i32.const 4))  ;; inputs come after the four states
  (global $turn i32 (i32.const 5))
  (global $radius_m f64 (f64.const 0.1))
  (global $half_track_m f64 (f64.const 0.25))

  (func $is_nan (param $value f64) (result i32)
    (f64.ne (local.get $value) (local.get $value)))

  (func $drive (param $left_rad_s f64) (param $right_rad_s f64)
    (drop (call $set (global.get $left) (local.get $left_rad_s)))
    (drop (call $set (global.get $right) (local.get $right_rad_s))))

  ;; How much faster than it may the faster wheel would turn; 1 if it may.
  (func $excess (param $left_rad_s f64) (param $right_rad_s f64) (result f64)
    (f64.max (f64.const 1)
      (f64.div
        (f64.max (f64.abs (local.get $left_rad_s)) (f64.abs (local.get $right_rad_s)))
        (f64.min (call $limit_max (global.get $left)) (call $limit_max (global.get $right))))))

  (func (export "process") (param $tick i64)
    (local $forward_m_s f64) (local $turn_m_s f64) (local $left_rad_s f64) (local $right_rad_s f64)
    (local $excess f64)
    (local.set $forward_m_s (call $state (global.get $forward)))
    (local.set $turn_m_s (f64.mul (call $state (global.get $turn)) (global.get $half_track_m)))
    (if (i32.or (call $is_nan (local.get $forward_m_s)) (call $is_nan (local.get $turn_m_s)))
      (then (call $drive (f64.const 0) (f64.const 0)) (return)))
    (local.set $left_rad_s
      (f64.div (f64.sub (local.get $forward_m_s) (local.get $turn_m_s)) (global.get $radius_m)))
    (local.set $right_rad_s
      (f64.div (f64.add (local.get $forward_m_s) (local.get $turn_m_s)) (global.get $radius_m)))
    (local.set $excess (call $excess (local.get $left_rad_s) (local.get $right_rad_s)))
    (call $drive
      (f64.div (local.get $left_rad_s) (local.get $excess))
      (f64.div (local.get $right_rad_s) (local.get $excess)))))
