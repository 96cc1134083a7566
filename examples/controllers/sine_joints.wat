;; Swings every joint: a sine of 0.5 Hz with a twentieth of the channel's range as amplitude, each joint a quarter turn
;; behind the one before it. For robots whose channels are all positions, with the position of channel i in state 2 * i:
;; examples/robots/arm6.toml and quadruped.toml.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "command" "count" (func $count (result i32)))
  (import "command" "limit_min" (func $limit_min (param i32) (result f64)))
  (import "command" "limit_max" (func $limit_max (param i32) (result f64)))
  (import "state" "get" (func $state (param i32) (result f64)))
  (import "math" "sin" (func $sin (param f64) (result f64)))
  (import "timing" "sim_time_ns" (func $sim_time_ns (result i64)))

  (memory 1)  ;; f64 per channel: where it was when this controller began
  (global $begin_ns (mut i64) (i64.const 0))
  (global $share f64 (f64.const 0.05))
  (global $rad_s f64 (f64.const 3.141592653589793))
  (global $lag_rad f64 (f64.const 1.5707963267948966))
  (global $blend_s f64 (f64.const 1))

  (func $clamp (param $value f64) (param $low f64) (param $high f64) (result f64)
    (f64.max (local.get $low) (f64.min (local.get $high) (local.get $value))))

  ;; Swings around where the joint was, as far as the whole swing fits between its limits; it goes there within a second.
  (func $swing (param $channel i32) (param $start f64) (param $t f64) (result f64)
    (local $low f64) (local $high f64) (local $amplitude f64) (local $middle f64)
    (local.set $low (call $limit_min (local.get $channel)))
    (local.set $high (call $limit_max (local.get $channel)))
    (local.set $amplitude
      (f64.mul (global.get $share) (f64.sub (local.get $high) (local.get $low))))
    (local.set $middle (call $clamp (local.get $start)
      (f64.add (local.get $low) (local.get $amplitude))
      (f64.sub (local.get $high) (local.get $amplitude))))
    (f64.add
      (f64.add (local.get $start)
        (f64.mul (f64.sub (local.get $middle) (local.get $start))
          (f64.min (f64.const 1) (f64.div (local.get $t) (global.get $blend_s)))))
      (f64.mul (local.get $amplitude)
        (f64.mul (f64.min (f64.const 1) (f64.div (local.get $t) (global.get $blend_s)))
          (call $sin (f64.sub (f64.mul (global.get $rad_s) (local.get $t))
            (f64.mul (global.get $lag_rad) (f64.convert_i32_u (local.get $channel)))))))))

  ;; A joint that was not measured yet is not set: it holds.
  (func $joint (param $channel i32) (param $t f64)
    (local $place i32) (local $start f64)
    (local.set $place (i32.mul (local.get $channel) (i32.const 8)))
    (local.set $start (f64.load (local.get $place)))
    (if (f64.ne (local.get $start) (local.get $start))
      (then
        (local.set $start (call $state (i32.mul (local.get $channel) (i32.const 2))))
        (f64.store (local.get $place) (local.get $start))))
    (if (f64.eq (local.get $start) (local.get $start))
      (then (drop (call $set (local.get $channel)
        (call $clamp (call $swing (local.get $channel) (local.get $start) (local.get $t))
          (call $limit_min (local.get $channel)) (call $limit_max (local.get $channel))))))))

  (func $forget_starts
    (local $channel i32)
    (loop $next
      (f64.store (i32.mul (local.get $channel) (i32.const 8)) (f64.const nan))
      (br_if $next (i32.lt_u
        (local.tee $channel (i32.add (local.get $channel) (i32.const 1))) (call $count)))))

  (func (export "process") (param $tick i64)
    (local $channel i32) (local $t f64)
    (if (i64.eqz (local.get $tick))
      (then
        (global.set $begin_ns (call $sim_time_ns))
        (call $forget_starts)))
    (local.set $t (f64.mul (f64.const 1e-9)
      (f64.convert_i64_s (i64.sub (call $sim_time_ns) (global.get $begin_ns)))))
    (loop $next
      (call $joint (local.get $channel) (local.get $t))
      (br_if $next (i32.lt_u
        (local.tee $channel (i32.add (local.get $channel) (i32.const 1))) (call $count))))))
