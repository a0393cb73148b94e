-- The shop's tables. `;;` alone on a line ends a statement. A line that ends in `-- @8` is kept on
-- MySQL 8.0.16 and later only, `-- @gen` wherever generated columns exist, `-- @old` below MySQL 8
-- and on MariaDB. {JSON} and {COLLATION} are filled in by schema.rs.
CREATE TABLE categories (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  parent_id INT UNSIGNED NULL,
  name VARCHAR(80) NOT NULL,
  slug VARCHAR(80) CHARACTER SET ascii NOT NULL,
  position SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (id),
  UNIQUE KEY slug (slug),
  KEY parent (parent_id, position),
  CONSTRAINT categories_parent FOREIGN KEY (parent_id) REFERENCES categories (id) ON DELETE SET NULL
) ENGINE=InnoDB COMMENT='the shop''s tree; "quoted", \\ and `ticked`; 100%'
;;
CREATE TABLE departments (
  id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT,
  name VARCHAR(60) NOT NULL,
  manager_id INT UNSIGNED NULL,
  PRIMARY KEY (id),
  UNIQUE KEY name (name),
  KEY manager (manager_id)
) ENGINE=InnoDB
;;
CREATE TABLE employees (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  department_id SMALLINT UNSIGNED NOT NULL,
  boss_id INT UNSIGNED NULL,
  name VARCHAR(100) NOT NULL,
  hired_on DATE NOT NULL,
  salary DECIMAL(10,2) NULL COMMENT 'in €; "NULL" = not the shop''s business',
  PRIMARY KEY (id),
  KEY department (department_id),
  KEY boss (boss_id),
  CONSTRAINT employees_department FOREIGN KEY (department_id) REFERENCES departments (id),
  CONSTRAINT employees_boss FOREIGN KEY (boss_id) REFERENCES employees (id)
) ENGINE=InnoDB
;;
ALTER TABLE departments ADD CONSTRAINT departments_manager FOREIGN KEY (manager_id) REFERENCES employees (id)
;;
CREATE TABLE customers (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  email VARCHAR(190) NOT NULL,
  name VARCHAR(120) NOT NULL,
  country CHAR(2) CHARACTER SET ascii NOT NULL DEFAULT 'DE',
  birth_date DATE NULL,
  points INT NOT NULL DEFAULT 0,
  credit DECIMAL(14,4) NOT NULL DEFAULT 0.0000,
  score DOUBLE NULL,
  profile {JSON} NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  email_domain VARCHAR(190) GENERATED ALWAYS AS (SUBSTRING_INDEX(email, '@', -1)) VIRTUAL, -- @gen
  internal_note VARCHAR(60) NULL DEFAULT 'none' INVISIBLE, -- @8
  KEY domain (email_domain(40)), -- @gen
  KEY lower_name ((LOWER(name))), -- @8
  KEY sleeping (birth_date) INVISIBLE, -- @8
  CONSTRAINT customers_points CHECK (points >= 0), -- @8
  PRIMARY KEY (id),
  UNIQUE KEY email (email),
  KEY country_created (country, created_at)
) ENGINE=InnoDB COMMENT='people; it''s all made up'
;;
CREATE TABLE addresses (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  customer_id BIGINT UNSIGNED NOT NULL,
  kind ENUM('billing','shipping','both') NOT NULL DEFAULT 'both',
  street VARCHAR(150) NOT NULL,
  city VARCHAR(80) NOT NULL,
  zip VARCHAR(12) NULL,
  remarks TINYTEXT NULL,
  PRIMARY KEY (id),
  KEY customer (customer_id, kind),
  KEY street (street(10)),
  CONSTRAINT addresses_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE
) ENGINE=InnoDB
;;
CREATE TABLE products (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  category_id INT UNSIGNED NOT NULL,
  sku VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(150) NOT NULL,
  price DECIMAL(12,2) NOT NULL,
  tax DECIMAL(5,4) NOT NULL DEFAULT 0.1900,
  weight FLOAT NULL,
  version INT UNSIGNED NOT NULL DEFAULT 0,
  active TINYINT(1) NOT NULL DEFAULT 1,
  attributes {JSON} NULL,
  price_gross DECIMAL(16,4) GENERATED ALWAYS AS (price * (1 + tax)) STORED, -- @gen
  CONSTRAINT products_price CHECK (price >= 0 AND tax BETWEEN 0 AND 1), -- @8
  PRIMARY KEY (id),
  UNIQUE KEY sku (sku),
  KEY category (category_id, price),
  CONSTRAINT products_category FOREIGN KEY (category_id) REFERENCES categories (id)
) ENGINE=InnoDB
;;
CREATE TABLE price_log (
  product_id INT UNSIGNED NOT NULL,
  version INT UNSIGNED NOT NULL,
  old_price DECIMAL(12,2) NOT NULL,
  new_price DECIMAL(12,2) NOT NULL,
  PRIMARY KEY (product_id, version),
  CONSTRAINT price_log_product FOREIGN KEY (product_id) REFERENCES products (id)
) ENGINE=InnoDB COMMENT='written by the trigger products_price_log only'
;;
CREATE TABLE product_texts (
  product_id INT UNSIGNED NOT NULL,
  language CHAR(5) CHARACTER SET ascii NOT NULL,
  title VARCHAR(200) NOT NULL,
  body TEXT NULL,
  slogan VARCHAR(100) COLLATE utf8mb4_bin NULL,
  legacy VARCHAR(200) CHARACTER SET latin1 NULL,
  PRIMARY KEY (product_id, language),
  KEY legacy (legacy(20)),
  CONSTRAINT product_texts_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE=InnoDB
;;
CREATE TABLE orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  customer_id BIGINT UNSIGNED NOT NULL,
  status ENUM('new','paid','packed','sent','done','cancelled') NOT NULL DEFAULT 'new',
  ordered_at DATETIME(6) NOT NULL,
  total DECIMAL(14,2) NOT NULL DEFAULT 0.00,
  currency CHAR(3) CHARACTER SET ascii NOT NULL DEFAULT 'EUR',
  coupon VARCHAR(20) NULL,
  note VARCHAR(255) NULL,
  PRIMARY KEY (id),
  KEY customer (customer_id, ordered_at),
  KEY status (status, ordered_at),
  CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id)
) ENGINE=InnoDB
;;
CREATE TABLE order_lines (
  order_id BIGINT UNSIGNED NOT NULL,
  line_no SMALLINT UNSIGNED NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  quantity INT NOT NULL DEFAULT 1,
  unit_price DECIMAL(12,2) NOT NULL,
  discount DECIMAL(5,2) NULL,
  amount DECIMAL(20,2) GENERATED ALWAYS AS (quantity * unit_price) VIRTUAL, -- @gen
  PRIMARY KEY (order_id, line_no),
  KEY product (product_id),
  CONSTRAINT order_lines_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  CONSTRAINT order_lines_product FOREIGN KEY (product_id) REFERENCES products (id)
) ENGINE=InnoDB
;;
CREATE TABLE payments (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  order_id BIGINT UNSIGNED NOT NULL,
  reference VARCHAR(40) CHARACTER SET ascii NOT NULL,
  method ENUM('card','transfer','invoice','gift') NOT NULL,
  amount DECIMAL(14,2) NOT NULL,
  fee DECIMAL(20,10) NULL,
  paid_at DATETIME NOT NULL,
  raw VARBINARY(64) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY reference (reference),
  KEY order_id (order_id),
  CONSTRAINT payments_order FOREIGN KEY (order_id) REFERENCES orders (id)
) ENGINE=InnoDB
;;
CREATE TABLE reviews (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  product_id INT UNSIGNED NOT NULL,
  customer_id BIGINT UNSIGNED NULL,
  stars TINYINT UNSIGNED NOT NULL,
  title VARCHAR(120) NULL,
  body MEDIUMTEXT NOT NULL,
  written_at DATETIME NOT NULL,
  CONSTRAINT reviews_stars CHECK (stars BETWEEN 1 AND 5), -- @8
  PRIMARY KEY (id),
  KEY product (product_id, stars),
  KEY customer (customer_id),
  FULLTEXT KEY words (title, body),
  FULLTEXT KEY body (body),
  CONSTRAINT reviews_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE,
  CONSTRAINT reviews_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE SET NULL
) ENGINE=InnoDB
;;
CREATE TABLE stock (
  warehouse ENUM('north','south','east','west') NOT NULL,
  product_id INT UNSIGNED NOT NULL,
  quantity INT NOT NULL DEFAULT 0,
  flags SET('fragile','cold','heavy','secret') NOT NULL DEFAULT '',
  shelf BIT(12) NOT NULL DEFAULT b'1',
  season YEAR NULL,
  counted_on DATE NULL,
  PRIMARY KEY (warehouse, product_id),
  KEY product (product_id),
  CONSTRAINT stock_product FOREIGN KEY (product_id) REFERENCES products (id)
) ENGINE=InnoDB
;;
CREATE TABLE page_views (
  viewed_at DATETIME(3) NOT NULL,
  customer_id BIGINT UNSIGNED NULL,
  url VARCHAR(300) NOT NULL,
  referrer VARCHAR(300) NULL,
  agent VARCHAR(120) NULL,
  ms INT NULL,
  tag VARCHAR(64) CHARACTER SET ascii NULL COMMENT 'filled by the load writer'
) ENGINE=InnoDB COMMENT='a table without any key; equal rows are allowed'
;;
CREATE TABLE events_log (
  id BIGINT UNSIGNED NOT NULL,
  happened_on DATE NOT NULL,
  kind VARCHAR(30) NOT NULL,
  level TINYINT NOT NULL DEFAULT 0,
  payload {JSON} NULL,
  PRIMARY KEY (id, happened_on),
  KEY kind (kind, level)
) ENGINE=InnoDB
PARTITION BY RANGE (TO_DAYS(happened_on)) (
  PARTITION p2022 VALUES LESS THAN (TO_DAYS('2023-01-01')),
  PARTITION p2023 VALUES LESS THAN (TO_DAYS('2024-01-01')),
  PARTITION p2024 VALUES LESS THAN (TO_DAYS('2025-01-01')),
  PARTITION p2025 VALUES LESS THAN (TO_DAYS('2026-01-01')),
  PARTITION later VALUES LESS THAN MAXVALUE)
;;
CREATE TABLE files (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  name VARCHAR(200) NOT NULL,
  mime VARCHAR(80) CHARACTER SET ascii NOT NULL DEFAULT 'application/octet-stream',
  content LONGBLOB NULL,
  thumbnail TINYBLOB NULL,
  digest BINARY(32) NOT NULL,
  PRIMARY KEY (id),
  KEY digest (digest(8))
) ENGINE=InnoDB
;;
CREATE TABLE sessions (
  id BINARY(16) NOT NULL,
  customer_id BIGINT UNSIGNED NULL,
  data VARBINARY(500) NOT NULL,
  expires_at DATETIME NOT NULL,
  PRIMARY KEY (id),
  KEY expires_at (expires_at)
) ENGINE=InnoDB
;;
CREATE TABLE places (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  name VARCHAR(100) NOT NULL,
  location POINT NOT NULL SRID 4326, -- @8
  location POINT NOT NULL, -- @old
  area GEOMETRY NULL,
  SPATIAL KEY location (location), -- @8
  PRIMARY KEY (id)
) ENGINE=InnoDB
;;
CREATE TABLE types_zoo (
  id INT NOT NULL AUTO_INCREMENT,
  c_tinyint TINYINT NULL,
  c_utinyint TINYINT UNSIGNED NULL,
  c_smallint SMALLINT NULL,
  c_usmallint SMALLINT UNSIGNED NULL,
  c_mediumint MEDIUMINT NULL,
  c_umediumint MEDIUMINT UNSIGNED NULL,
  c_int INT NULL,
  c_uint INT UNSIGNED NULL DEFAULT 4294967295,
  c_bigint BIGINT NULL,
  c_ubigint BIGINT UNSIGNED NULL,
  c_decimal DECIMAL(65,30) NULL,
  c_money DECIMAL(10,0) NULL DEFAULT '-7',
  c_float FLOAT NULL,
  c_double DOUBLE NULL,
  c_bit1 BIT(1) NULL,
  c_bit64 BIT(64) NULL,
  c_date DATE NULL,
  c_time TIME(6) NULL,
  c_datetime DATETIME(6) NULL,
  c_timestamp TIMESTAMP(6) NULL DEFAULT NULL,
  c_year YEAR NULL,
  c_char CHAR(10) NULL,
  c_varchar VARCHAR(255) NULL DEFAULT 'it''s "a" \\ default',
  c_latin1 VARCHAR(100) CHARACTER SET latin1 NULL,
  c_ucs2 VARCHAR(100) CHARACTER SET ucs2 NULL,
  c_binary BINARY(8) NULL,
  c_varbinary VARBINARY(255) NULL,
  c_tinytext TINYTEXT NULL,
  c_text TEXT NULL,
  c_mediumtext MEDIUMTEXT NULL,
  c_longtext LONGTEXT NULL,
  c_tinyblob TINYBLOB NULL,
  c_blob BLOB NULL,
  c_mediumblob MEDIUMBLOB NULL,
  c_longblob LONGBLOB NULL,
  c_enum ENUM('','a','B','c,d','e''f') NULL,
  c_set SET('r','w','x','ä') NULL,
  c_json {JSON} NULL,
  c_point POINT NULL,
  g_stored BIGINT GENERATED ALWAYS AS (c_int * 2) STORED, -- @gen
  g_virtual VARCHAR(300) GENERATED ALWAYS AS (CONCAT(c_varchar, '!')) VIRTUAL, -- @gen
  c_hidden VARCHAR(20) NULL DEFAULT 'hidden' INVISIBLE, -- @8
  c_expression BINARY(16) NULL DEFAULT (UUID_TO_BIN('6ccd780c-baba-1026-9564-5b8c656024db')), -- @8
  KEY zoo_function ((c_int + c_smallint)), -- @8
  PRIMARY KEY (id),
  KEY zoo_text (c_text(20)),
  KEY zoo_blob (c_blob(20)),
  KEY zoo_double (c_double),
  UNIQUE KEY zoo_nullable (c_ubigint)
) ENGINE=InnoDB
;;
CREATE TABLE `we``ird "näme" ☃ 100%_a.b` (
  `a``b` INT NOT NULL,
  `the "value", of` VARCHAR(50) NULL COMMENT 'it''s; "odd" -- /* really */ `x` \\ %s',
  `order` INT NULL,
  `größe in m²` DECIMAL(6,2) NULL,
  ` lead` CHAR(3) NULL,
  PRIMARY KEY (`a``b`),
  KEY `ein Schlüssel``` (`order`, `the "value", of`)
) ENGINE=InnoDB
;;
CREATE TABLE writer_commits (
  worker INT UNSIGNED NOT NULL,
  seq BIGINT UNSIGNED NOT NULL,
  outcome ENUM('committed','abandoned') NOT NULL DEFAULT 'committed',
  PRIMARY KEY (worker, seq)
) ENGINE=InnoDB COMMENT='one row for each transaction of the load writer'
;;
CREATE TABLE empty_shelf (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  label VARCHAR(20) NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB AUTO_INCREMENT=4711
