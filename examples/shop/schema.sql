-- The shop: what MySQL serves well. Works on MySQL 8+ and MariaDB 10.6+.
CREATE DATABASE IF NOT EXISTS shop;
USE shop;

CREATE TABLE users (
  user_id BIGINT PRIMARY KEY AUTO_INCREMENT,
  name VARCHAR(100) NOT NULL,
  email VARCHAR(200) NOT NULL UNIQUE,
  signed_up_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
);

CREATE TABLE products (
  product_id BIGINT PRIMARY KEY AUTO_INCREMENT,
  name VARCHAR(200) NOT NULL,
  price DECIMAL(10, 2) NOT NULL,
  stock INT NOT NULL DEFAULT 0,
  updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)
);

CREATE TABLE orders (
  order_id BIGINT PRIMARY KEY AUTO_INCREMENT,
  user_id BIGINT NOT NULL,
  product_id BIGINT NOT NULL,
  quantity INT NOT NULL,
  amount DECIMAL(12, 2) NOT NULL,
  status ENUM('placed', 'paid', 'cancelled') NOT NULL DEFAULT 'placed',
  ordered_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  KEY (product_id)
);

-- The table `jobs` and its companions are made by `headwater jobs init`.

CREATE TABLE daily_product_sales (
  day DATE NOT NULL,
  product_id BIGINT NOT NULL,
  orders BIGINT NOT NULL,
  revenue DECIMAL(14, 2) NOT NULL,
  PRIMARY KEY (day, product_id)
);

-- What the nightly job writes (nightly.sql).
CREATE DATABASE IF NOT EXISTS analytics_db;
CREATE TABLE analytics_db.daily_product_sales (
  day DATE NOT NULL,
  product_id BIGINT NOT NULL,
  total_amount DECIMAL(38, 2) NOT NULL,
  total_count BIGINT NOT NULL,
  PRIMARY KEY (day, product_id)
);
