-- What is created once the rows are in. The same markers as in schema.sql; a statement that starts
-- with `-- @ansi` is created under sql_mode ANSI_QUOTES.
CREATE FUNCTION gross(price DECIMAL(12,2), tax DECIMAL(5,4)) RETURNS DECIMAL(16,4)
  DETERMINISTIC NO SQL
  COMMENT 'price with tax; "round" isn''t done'
RETURN price * (1 + tax)
;;
CREATE PROCEDURE restock(IN p_warehouse VARCHAR(10), IN p_product INT UNSIGNED, IN p_more INT)
  MODIFIES SQL DATA
BEGIN
  DECLARE CONTINUE HANDLER FOR SQLSTATE '23000' BEGIN END;
  UPDATE stock SET quantity = quantity + p_more WHERE warehouse = p_warehouse AND product_id = p_product;
  IF ROW_COUNT() = 0 THEN
    INSERT INTO stock (warehouse, product_id, quantity) VALUES (p_warehouse, p_product, p_more);
  END IF;
END
;;
-- @ansi
CREATE PROCEDURE "customer total"(IN p_customer BIGINT UNSIGNED, OUT p_total DECIMAL(20,2))
  READS SQL DATA SQL SECURITY INVOKER
BEGIN
  -- a body with ;; and "quotes"
  SELECT COALESCE(SUM("o"."total"), 0) INTO p_total FROM "orders" "o" WHERE "o"."customer_id" = p_customer AND "o"."note" <> ';;';
END
;;
CREATE VIEW active_products AS
  SELECT p.id, p.sku, p.name, c.name AS category, p.price, gross(p.price, p.tax) AS gross_price
  FROM products p JOIN categories c ON c.id = p.category_id WHERE p.active = 1
;;
CREATE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW cheap_products AS
  SELECT id, sku, gross_price FROM active_products WHERE gross_price < 20 WITH CASCADED CHECK OPTION
;;
CREATE VIEW `a view, "quoted"` AS
  SELECT 'it''s' AS `quo"te`, COUNT(*) AS `n``n` FROM cheap_products
;;
CREATE VIEW orders_by_day AS
  SELECT DATE(ordered_at) AS day, COUNT(*) AS orders, SUM(total) AS total FROM orders GROUP BY DATE(ordered_at)
;;
CREATE TRIGGER products_price_log AFTER UPDATE ON products FOR EACH ROW
BEGIN
  IF NEW.version <> OLD.version THEN
    INSERT INTO price_log (product_id, version, old_price, new_price)
    VALUES (NEW.id, NEW.version, OLD.price, NEW.price);
  END IF;
END
;;
CREATE TRIGGER customers_email BEFORE INSERT ON customers FOR EACH ROW
  SET NEW.email = LOWER(NEW.email)
;;
CREATE TRIGGER customers_trim BEFORE INSERT ON customers FOR EACH ROW FOLLOWS customers_email -- @8
  SET NEW.name = TRIM(NEW.name) -- @8
;;
CREATE EVENT forget_old_sessions
  ON SCHEDULE EVERY 1 MINUTE
  COMMENT 'it''s harmless: nothing is ten years old'
DO DELETE FROM sessions WHERE expires_at < NOW() - INTERVAL 10 YEAR
;;
CREATE EVENT `once, long ago`
  ON SCHEDULE EVERY 1 DAY STARTS '2020-02-29 00:00:00' ON COMPLETION PRESERVE DISABLE
DO BEGIN END
