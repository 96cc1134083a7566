;; Vectors are not among a controller's features.
(module
  (func (export "process") (param $tick i64)
    (drop (v128.const i32x4 0 0 0 0))))
